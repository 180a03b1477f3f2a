"""Any form of data: raw rows (`Source`), what is made of them (`prepare`), and batches of tensors (`Data`).

::

    source = as_source("titanic.csv", target="survived")
    train, val = split(source, 0.2, seed=0)
    prepared = prepare(train, module)          # fitted on the training rows alone
    held_out = prepared.like(val)              # the same columns, numbers and classes
"""

from maas_jupyter.data.adapt import as_data
from maas_jupyter.data.batches import Batch, Data, LoaderData, TensorData
from maas_jupyter.data.forms import as_source
from maas_jupyter.data.identity import fingerprint, shared_rows
from maas_jupyter.data.image import ImagePreprocessing
from maas_jupyter.data.labels import class_weights
from maas_jupyter.data.leakage import telling_columns
from maas_jupyter.data.prepare import (
    Prepared,
    Preprocessing,
    TensorPreprocessing,
    decode_preprocessing,
    encode_preprocessing,
    prepare,
)
from maas_jupyter.data.source import Source
from maas_jupyter.data.split import split
from maas_jupyter.data.table import CategoryColumn, NumberColumn, TablePreprocessing
from maas_jupyter.data.text import TextPreprocessing

__all__ = [
    "Batch",
    "CategoryColumn",
    "Data",
    "ImagePreprocessing",
    "LoaderData",
    "NumberColumn",
    "Prepared",
    "Preprocessing",
    "Source",
    "TablePreprocessing",
    "TensorData",
    "TensorPreprocessing",
    "TextPreprocessing",
    "as_data",
    "as_source",
    "class_weights",
    "decode_preprocessing",
    "encode_preprocessing",
    "fingerprint",
    "prepare",
    "shared_rows",
    "split",
    "telling_columns",
]
