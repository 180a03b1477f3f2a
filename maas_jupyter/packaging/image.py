"""Package a module that takes pictures as arrays into a bundle that takes PNG and JPEG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from maas_jupyter.packaging import export
from maas_jupyter.packaging.package import Packaged, Rows, empty_folder, package_rows
from maas_jupyter.schema import ImageInput, Task, TensorSpec


def package_images(
    model: nn.Module,
    images: Sequence[bytes],
    folder: Path | str,
    *,
    height: int,
    width: int,
    mean: Sequence[float],
    std: Sequence[float],
    task: Task,
    scale: float = 1 / 255,
    layout: Literal["NCHW", "NHWC"] = "NCHW",
    labels: list[str | int] | None = None,
    name: str = "image",
) -> Packaged:
    """Make a bundle, in a folder of its own, that takes PNG and JPEG files.

    The server turns each image as its EXIF says, makes it grey or RGB, resizes it (bilinear, without regard to its
    proportions), and gives the module ``(value * scale - mean) / std`` of values from 0 to 255.

    Parameters
    ----------
    model : torch.nn.Module
        Takes FP32 ``(rows, channels, height, width)``, or channels last for the layout ``NHWC``.
    images : sequence of bytes
        Real files for the export and its validation; some are enough.
    folder : Path or str
        As for `package`.
    height, width : int
        Size that the model takes, in pixels.
    mean, std : sequence of float
        One number per channel: 1 (grey) or 3 (red, green, blue).
    task, labels
        As for `package`.
    scale : float
        What the values are multiplied with first.
    layout : {'NCHW', 'NHWC'}
        Where the channels are.
    name : str
        What the signature's input is called.

    Returns
    -------
    Packaged

    Raises
    ------
    ExportError
        If the model cannot be exported, or its export computes something else.
    InvalidInput
        If a file cannot be decoded, or the model does not take such arrays.
    BundleError
        If there can be no such arrays.
    """
    from maas_jupyter.serving.inputs.image import ImagePreprocessor

    target = empty_folder(folder)
    (tensor,) = export.input_names(model, 1)
    declared = ImageInput(
        tensor=tensor, height=height, width=width, mean=list(mean), std=list(std), scale=scale, layout=layout
    )
    sent = np.empty(len(images), dtype=object)
    sent[:] = images
    rows = Rows(
        sent={name: sent},
        signature=[TensorSpec(name, "BYTES", [-1])],
        tensors=(torch.from_numpy(ImagePreprocessor(name, declared)(sent)[tensor]),),
        names=[tensor],
        axes=export.only_rows(1),
        preprocessing={name: declared},
    )
    return package_rows(model, rows, target, task=task, labels=labels)
