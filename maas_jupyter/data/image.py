"""Images as the tensors of a module: decoded, resized and scaled as the server does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import torch
from msgspec import Struct
from torch import Tensor, nn

from maas_jupyter.data.batches import Batch, Data, TensorData, batch_sizes
from maas_jupyter.data.source import ImageSource, Source, read_images
from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import ImageInput

if TYPE_CHECKING:
    from maas_jupyter.serving.inputs.image import ImagePreprocessor

#: Decoded images are kept up to this size, larger ones are decoded again in every epoch.
_KEPT_BYTES = 2 << 30
#: Images that one thread decodes at once.
_CHUNK = 32
#: Images that mean and standard deviation are taken from, spread evenly.
_SAMPLE = 2_000
_TRANSPOSED = (5, 6, 7, 8)
_ORIENTATION = 0x0112
_GREY = ("1", "L", "LA")


class ImagePreprocessing(Struct, frozen=True, kw_only=True, tag="images"):
    """How images become FP32 ``(rows, channels, height, width)``: ``(value / 255 - mean) / std``.

    ``mean`` and ``std`` have one number per channel: 1 (grey) or 3 (red, green, blue).
    """

    height: int
    width: int
    mean: list[float]
    std: list[float]

    def declared(self, tensor: str) -> ImageInput:
        """Return what the bundle's manifest says of it, for the graph's input of this name."""
        return ImageInput(tensor=tensor, height=self.height, width=self.width, mean=self.mean, std=self.std)

    def source(self, source: Source) -> ImageSource:
        """Return the images.

        Raises
        ------
        InvalidInput
            If the source holds something else.
        """
        if not isinstance(source, ImageSource):
            raise InvalidInput(f"'{source.name}' holds {source.form}, not images.", hint="Pass images, or a folder.")
        return source

    def tensors(self, source: Source) -> tuple[Tensor, ...]:
        """Return the module's argument for all rows.

        Raises
        ------
        InvalidInput
            If a file is not a whole PNG or JPEG; names the row.
        """
        images = self.source(source)
        return (self.decode(images, np.arange(images.rows)),)

    def data(self, source: Source, targets: Tensor | None) -> Data:
        """Return the rows with their encoded targets; of very many only the files are kept in memory."""
        images = self.source(source)
        if images.rows * self.height * self.width * len(self.mean) * 4 <= _KEPT_BYTES:
            return TensorData(self.tensors(images), targets)
        return FileData(self, images, targets)

    def decode(self, source: ImageSource, rows: np.ndarray) -> Tensor:
        """Return FP32 ``(rows, channels, height, width)`` for some rows.

        Raises
        ------
        InvalidInput
            If a file is not a whole PNG or JPEG; names the row.
        """
        from maas_jupyter.serving.inputs.image import ImagePreprocessor

        preprocessor = ImagePreprocessor("image", self.declared("image"))
        pixels = np.empty((len(rows), len(self.mean), self.height, self.width), dtype=np.float32)

        def decode(start: int) -> None:
            pixels[start : start + _CHUNK] = _decode(preprocessor, source, rows[start : start + _CHUNK])

        with ThreadPoolExecutor() as threads:
            for _ in threads.map(decode, range(0, len(rows), _CHUNK)):
                pass
        return torch.from_numpy(pixels)


class FileData(Data):
    """Images that are decoded batch by batch.

    Parameters
    ----------
    preprocessing : ImagePreprocessing
    source : ImageSource
    targets : Tensor or None
    """

    def __init__(self, preprocessing: ImagePreprocessing, source: ImageSource, targets: Tensor | None) -> None:
        self._preprocessing = preprocessing
        self._source = source
        self.rows: int = source.rows
        self.targets = targets

    def batches(self, batch_size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Walk over all rows; in a random order where a generator is given."""
        if generator is None:
            parts = torch.arange(self.rows).split(batch_size)
        else:
            order = torch.randperm(self.rows, generator=generator)
            parts = order.split(batch_sizes(self.rows, batch_size))
        for rows in parts:
            pixels = self._preprocessing.decode(self._source, rows.numpy())
            yield Batch((pixels,), None if self.targets is None else self.targets[rows])

    def batch_count(self, batch_size: int) -> int:
        """Return the number of batches."""
        return -(-self.rows // batch_size)


def fit_images(
    source: ImageSource, module: nn.Module | None, *, image_size: int | Sequence[int] | None
) -> tuple[ImagePreprocessing, list[str]]:
    """Decide how images become tensors.

    Parameters
    ----------
    source : ImageSource
        The training rows. Mean and standard deviation per channel are theirs, of up to 2,000 of them.
    module : torch.nn.Module, optional
        Its first convolution says whether it takes grey or RGB; all images being grey does where there is none.
    image_size : int or (height, width), optional
        In pixels; the images' own where they are all of one size.

    Returns
    -------
    preprocessing : ImagePreprocessing
    notes : list of str

    Raises
    ------
    InvalidInput
        If a file is no PNG or JPEG, the images differ in size and none is given, or the module takes other channels.
    """
    sizes, grey = _headers(source)
    if image_size is None:
        if len(sizes) > 1:
            shown = ", ".join(f"{height}x{width}" for height, width in sorted(sizes)[:4])
            raise InvalidInput(
                f"The images of '{source.name}' are of {len(sizes)} sizes: {shown}{', ...' if len(sizes) > 4 else ''}.",
                hint="Pass image_size=, for example 64, to which they are resized here and by the endpoint.",
            )
        ((height, width),) = sizes
    else:
        height, width = (image_size, image_size) if isinstance(image_size, int) else map(int, image_size)
    if min(height, width) < 1:
        raise InvalidInput(f"There are no images of {height}x{width} pixels.", hint="Pass image_size=, such as 64.")
    channels = _channels(module) or (1 if grey else 3)
    sample = np.unique(np.linspace(0, source.rows - 1, _SAMPLE).astype(int))
    plain = ImagePreprocessing(height=height, width=width, mean=[0.0] * channels, std=[1.0] * channels)
    pixels = plain.decode(source, sample).numpy()
    mean = pixels.mean(axis=(0, 2, 3), dtype=np.float64)
    std = pixels.std(axis=(0, 2, 3), dtype=np.float64)
    std[std < 1e-6] = 1
    fitted = ImagePreprocessing(
        height=height,
        width=width,
        mean=[float(np.float32(value)) for value in mean],
        std=[float(np.float32(value)) for value in std],
    )
    shown = ", ".join(f"{center:.3f} and {spread:.3f}" for center, spread in zip(mean, std, strict=True))
    return fitted, [
        f"images: {channels} x {height} x {width} ({'grey' if channels == 1 else 'RGB'}), standardised by {shown}"
    ]


def _headers(source: ImageSource) -> tuple[set[tuple[int, int]], bool]:
    """Return the sizes as (height, width), and whether all images are grey; only headers are read."""
    from PIL import Image

    sizes = set()
    grey = True
    for row, file in enumerate(source.files):
        try:
            with Image.open(BytesIO(file) if isinstance(file, bytes) else file, formats=("PNG", "JPEG")) as image:
                width, height = image.size
                grey &= image.mode in _GREY or image.mode.startswith("I")
                # Of a PNG it may be behind the pixels, which are not worth decoding for that.
                known = image.format == "JPEG" or "exif" in image.info
                turned = known and image.getexif().get(_ORIENTATION) in _TRANSPOSED
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InvalidInput(
                f"Row {row} of '{source.name}' is not a PNG or JPEG file that can be read.",
                hint="Leave it out, or save it again as PNG.",
            ) from error
        sizes.add((width, height) if turned else (height, width))
    return sizes, grey


def _channels(module: nn.Module | None) -> int | None:
    first = next((part for part in (module.modules() if module else ()) if isinstance(part, nn.Conv2d)), None)
    if first is None:
        return None
    if first.in_channels not in (1, 3):
        raise InvalidInput(
            f"The model's first convolution takes {first.in_channels} channels; images have 1 (grey) or 3 (RGB).",
            hint="Pass arrays (X, y) for other kinds of pictures.",
        )
    return first.in_channels


def _decode(preprocessor: ImagePreprocessor, source: ImageSource, rows: np.ndarray) -> np.ndarray:
    files = read_images(source.files[rows])
    try:
        (pixels,) = preprocessor(files).values()
        return pixels
    except InvalidInput:
        for place, row in enumerate(rows):
            try:
                preprocessor(files[place : place + 1])
            except InvalidInput as error:
                raise InvalidInput(
                    f"The image at row {row} of '{source.name}' cannot be used: {error.message}", hint=error.hint
                ) from error
        raise
