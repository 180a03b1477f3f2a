"""Images as arrays: the same as the server's."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from maas_jupyter.data import as_source, decode_preprocessing, encode_preprocessing, image, prepare, split
from maas_jupyter.errors import InvalidInput
from maas_jupyter.serving.inputs.image import ImagePreprocessor


def picture(width=8, height=6, *, seed=0, mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def png(**options):
    file = BytesIO()
    picture(**options).save(file, "PNG")
    return file.getvalue()


def folders(root):
    for label in ("cats", "dogs"):
        (root / label).mkdir()
        for row in range(3):
            picture(seed=row).save(root / label / f"{row}.{'png' if row else 'jpg'}")
    (root / "cats" / "notes.txt").write_text("none")
    (root / "cats" / ".hidden").write_text("none")
    return root


def objects(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def test_a_folder_of_folders_is_images_with_their_classes(tmp_path):
    source = as_source(str(folders(tmp_path)))
    assert (source.form, source.targets().tolist()) == ("images", ["cats"] * 3 + ["dogs"] * 3)
    assert "1 files" in source.notes[0]
    prepared = prepare(source)
    assert prepared.labels == ["cats", "dogs"]
    pixels = prepared.data.all().inputs[0]
    assert pixels.shape == (6, 3, 6, 8)
    torch.testing.assert_close(pixels.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(pixels.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)
    train, val = split(source, 0.34, seed=0)
    assert prepare(train).like(val).data.all().inputs[0].shape == (2, 3, 6, 8)


def test_pixels_are_what_the_server_makes_of_the_files():
    files = [png(seed=seed) for seed in range(70)]
    prepared = prepare(as_source((files, [0, 1] * 35)))
    declared = prepared.preprocessing.declared("x")
    expected = ImagePreprocessor("image", declared)(objects(files))["x"]
    np.testing.assert_array_equal(prepared.data.all().inputs[0], expected)
    assert prepared.source.raw()["image"].tolist() == files
    assert decode_preprocessing(encode_preprocessing(prepared.preprocessing)) == prepared.preprocessing


def test_many_images_are_decoded_batch_by_batch(monkeypatch):
    source = as_source(([png(seed=seed) for seed in range(9)], list(range(9))))
    kept = prepare(source)
    monkeypatch.setattr(image, "_KEPT_BYTES", 100)
    walked = prepare(source)
    assert not hasattr(walked.data, "all")
    assert walked.data.batch_count(4) == 3
    for generator in (None, 0):
        batches = [
            list(each.data.batches(4, generator=None if generator is None else torch.Generator().manual_seed(0)))
            for each in (kept, walked)
        ]
        for one, other in zip(*batches, strict=True):
            assert torch.equal(one.inputs[0], other.inputs[0])
            assert torch.equal(one.targets, other.targets)


def test_paths_and_pil_images_are_images(tmp_path):
    path = tmp_path / "one.png"
    path.write_bytes(png())
    for value in ([path], [str(path)], [picture()], [picture(mode="CMYK").convert("RGB")]):
        source = as_source(value)
        assert source.form == "images"
        assert source.raw()["image"][0].startswith(b"\x89PNG")
    assert np.array_equal(
        np.asarray(Image.open(BytesIO(as_source([picture(mode="P")]).raw()["image"][0])).convert("RGB")),
        np.asarray(picture(mode="P").convert("RGB")),
    )
    with pytest.raises(InvalidInput, match="no file"):
        as_source([tmp_path / "none.png"])
    with pytest.raises(InvalidInput, match="mode F"):
        as_source([picture().convert("F")])


@pytest.mark.parametrize(
    ("mode", "module", "channels"),
    [
        ("L", None, 1),
        ("RGB", None, 3),
        ("RGB", nn.Sequential(nn.Conv2d(1, 2, 3)), 1),
        ("L", nn.Sequential(nn.Conv2d(3, 2, 3)), 3),
    ],
)
def test_channels_are_those_of_the_model_or_of_the_images(mode, module, channels):
    prepared = prepare(as_source([png(mode=mode)]), module)
    assert prepared.data.all().inputs[0].shape == (1, channels, 6, 8)
    assert len(prepared.preprocessing.mean) == channels


def test_a_model_of_other_channels_is_refused():
    with pytest.raises(InvalidInput, match="takes 4 channels"):
        prepare(as_source([png()]), nn.Conv2d(4, 2, 3))


def test_sizes_are_asked_for_where_they_differ():
    source = as_source([png(), png(width=9)])
    with pytest.raises(InvalidInput, match="of 2 sizes: 6x8, 6x9") as caught:
        prepare(source)
    assert "image_size=" in caught.value.hint
    assert prepare(source, image_size=5).data.all().inputs[0].shape == (2, 3, 5, 5)
    assert prepare(source, image_size=(5, 7)).data.all().inputs[0].shape == (2, 3, 5, 7)
    with pytest.raises(InvalidInput, match="0x0"):
        prepare(source, image_size=0)


def test_a_turned_photo_has_the_size_that_it_is_seen_in():
    file = BytesIO()
    photo = picture(width=16, height=8)
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(file, "JPEG", exif=exif)
    assert prepare(as_source([file.getvalue()])).data.all().inputs[0].shape == (1, 3, 16, 8)


def test_what_cannot_be_decoded_names_the_row():
    with pytest.raises(InvalidInput, match="Row 1 of 'data' is not a PNG or JPEG"):
        prepare(as_source([png(), b"\x89PNG nothing"]))
    cut = png(width=60, height=60)
    with pytest.raises(InvalidInput, match="image at row 40 of 'data' cannot be used"):
        prepare(as_source([*[png(width=60, height=60)] * 40, cut[: len(cut) // 2]]))


def test_a_file_that_is_gone_is_refused(tmp_path):
    path = folders(tmp_path)
    source = as_source(path)
    Path(source.files[0]).unlink()
    with pytest.raises(InvalidInput):
        source.raw()


def test_folders_without_images_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="no PNG or JPEG") as caught:
        as_source(tmp_path)
    assert "one folder for each class" in caught.value.hint
