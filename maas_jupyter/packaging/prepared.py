"""Package a module with the preprocessing that its training data went through."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from maas_jupyter.data.image import ImagePreprocessing
from maas_jupyter.data.prepare import Prepared
from maas_jupyter.data.table import TablePreprocessing
from maas_jupyter.data.text import TextPreprocessing
from maas_jupyter.packaging.image import package_images
from maas_jupyter.packaging.package import Packaged, package
from maas_jupyter.packaging.table import package_table
from maas_jupyter.packaging.text import package_text

#: Rows that the export is validated on.
_ROWS = 128


def package_prepared(module: nn.Module, prepared: Prepared, folder: Path | str) -> Packaged:
    """Make a bundle that takes raw rows, and gives for them what the module gives for the prepared ones.

    Parameters
    ----------
    module : torch.nn.Module
        Trained on such rows.
    prepared : Prepared
        Rows with the preprocessing, the task and the labels of the training; the first ones validate the export.
    folder : Path or str
        As for `package`.

    Returns
    -------
    Packaged

    Raises
    ------
    ExportError
        If the module cannot be exported, or its export computes something else.
    InvalidInput
        If there is not a label for each class, or the module does not take such rows.
    Conflict
        If the folder is not empty.
    """
    preprocessing, task, labels = prepared.preprocessing, prepared.task, prepared.labels
    if not isinstance(preprocessing, TablePreprocessing | TextPreprocessing | ImagePreprocessing):
        return package(module, prepared.data.head(_ROWS).inputs, folder, task=task, labels=labels)
    rows = prepared.source.select(range(min(_ROWS, prepared.source.rows or 0))).raw()
    if isinstance(preprocessing, TablePreprocessing):
        return package_table(module, rows, folder, preprocessing=preprocessing, task=task, labels=labels)
    if isinstance(preprocessing, TextPreprocessing):
        from tokenizers import Tokenizer

        return package_text(
            module,
            rows["text"].tolist(),
            Tokenizer.from_str(preprocessing.tokenizer),
            folder,
            max_length=preprocessing.max_length,
            task=task,
            labels=labels,
        )
    return package_images(
        module,
        rows["image"].tolist(),
        folder,
        height=preprocessing.height,
        width=preprocessing.width,
        mean=preprocessing.mean,
        std=preprocessing.std,
        task=task,
        labels=labels,
    )
