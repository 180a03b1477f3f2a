"""What a stand asks of its process, and what that answers."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from maas_jupyter.schema import DATATYPES
from maas_jupyter.serving.binary import decode_binary, encode_binary


class Tensor(Struct, frozen=True, array_like=True):
    """An array: its Open Inference Protocol datatype, its shape, and its raw bytes."""

    datatype: str
    shape: list[int]
    data: bytes

    @classmethod
    def of(cls, array: np.ndarray) -> Tensor:
        """Take an array apart; texts are ``object`` arrays."""
        datatype = DATATYPES[array.dtype.name]
        return cls(datatype, list(array.shape), bytes(encode_binary(array, datatype)))

    def array(self) -> np.ndarray:
        """Put it together again."""
        array = decode_binary(memoryview(self.data), self.datatype, self.shape, where="a tensor")
        return array if array.flags.writeable else array.copy()


class Load(Struct, frozen=True, tag="load"):
    """Load the bundle of a folder."""

    folder: str
    digest: str
    threads: int


class Run(Struct, frozen=True, tag="run"):
    """Compute one output."""

    inputs: dict[str, Tensor]
    output: str


class Hold(Struct, frozen=True, tag="hold"):
    """Keep rows to be timed with."""

    inputs: dict[str, Tensor]


class Time(Struct, frozen=True, tag="time"):
    """Run so many of the held rows again and again, for so many seconds."""

    rows: int
    seconds: float


Request = Load | Run | Hold | Time


class Loaded(Struct, frozen=True, tag="loaded"):
    """It is loaded; bytes of memory that it took."""

    memory: int


class Answer(Struct, frozen=True, tag="answer"):
    """The output."""

    output: Tensor


class Held(Struct, frozen=True, tag="held"):
    """The rows are kept."""


class Times(Struct, frozen=True, tag="times"):
    """Seconds of each run."""

    seconds: list[float]


class Failed(Struct, frozen=True, tag="failed"):
    """It could not be done: the error's words."""

    message: str
    hint: str


Reply = Loaded | Answer | Held | Times | Failed
