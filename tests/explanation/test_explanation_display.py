from __future__ import annotations

import re

import numpy as np
import pytest

from maas_jupyter.explanation import Explanation, RowExplanation
from maas_jupyter.widgets.explanation import heat_map


def explanation(row, **changes):
    about = {
        "subject": "digits/1",
        "method": "kernel_shap",
        "kind": "table",
        "task": "classification",
        "baseline": "zeros",
        "samples": 100,
        "seed": 0,
    }
    return Explanation(**{**about, **changes}, rows=[row])


def row(attributions, **changes):
    count = np.size(attributions)
    about = {
        "row": 0,
        "prediction": "yes",
        "probability": 0.9,
        "target": "yes",
        "output": 0.9,
        "baseline_output": 0.4,
        "names": [f"f{index}" for index in range(count)],
        "values": [float(index) for index in range(count)],
        "error": 0.01,
    }
    return RowExplanation(**{**about, **changes}, attributions=np.asarray(attributions, dtype=float))


def markup(shown):
    bundle = shown._repr_mimebundle_()
    assert bundle["text/plain"] == repr(shown)
    return bundle["text/html"]


def test_bars_are_signed_and_the_most_important_come_first():
    found = markup(explanation(row([0.1, -0.5, 0.25, 0.0])))
    assert re.findall(r">(f\d)</td>", found) == ["f1", "f2", "f0", "f3"]
    assert "margin-left:0.0%;width:50.0%" in found
    assert "margin-left:50.0%;width:25.0%" in found
    assert "-0.5000" in found
    assert "+0.2500" in found
    for stated in (
        "kernel_shap, 100 samples, seed 0",
        "baseline: zeros",
        "predicted yes (90.0%)",
        "completeness error",
    ):
        assert stated in found


def test_many_features_are_summed_up():
    found = markup(explanation(row(np.linspace(1, 0.1, 500))))
    assert "485 others together" in found
    assert len(found) < 12_000


def test_what_is_missing_and_a_single_other_are_said():
    found = explanation(row([2.0, 1.0], names=["size", "kind"], values=[np.nan, None]))
    for shown in (repr(found), markup(found)):
        assert shown.count("missing") == 2
        assert "nan" not in shown
    found = explanation(row(np.linspace(1, 0.1, 16)))
    for shown in (repr(found), markup(found)):
        assert "1 other" in shown
        assert "1 others" not in shown


def test_names_and_values_are_escaped():
    found = markup(explanation(row([1.0], names=["<b>"], values=["<script>"], warnings=["<i>"])))
    assert "<script>" not in found
    assert "&lt;b&gt;" in found
    assert "&lt;i&gt;" in found


def test_words_are_coloured_in_their_text():
    text = "not <good>\nat all"
    spans = [(0, 3), (4, 10), (11, 13), (14, 17)]
    words = row([-0.4, 0.2, 0.0, 0.0], names=["not", "<good>", "at", "all"], values=[""] * 4, text=text, spans=spans)
    found = markup(explanation(words, kind="text"))
    assert '<span title="-0.4000" style="background:rgba(219,109,40,0.55);border-radius:3px">not</span>' in found
    assert "&lt;good&gt;</span>\n<span" in found
    assert "rgba(47,129,247,0.28)" in found
    assert "-0.4000  not" in repr(explanation(words))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3), (500, 400, 3)])
def test_a_heat_map_stands_beside_its_picture(shape):
    picture = np.zeros(shape, dtype=np.uint8)
    attributions = np.zeros(shape[:2])
    attributions[2, 3] = 0.5
    attributions[4, 1] = -0.25
    image = row(attributions, names=["patch 0"], values=[""], picture=picture)
    shown = explanation(image, kind="image")
    assert markup(shown).count("data:image/png;base64,") == 2
    assert len(markup(shown)) < 30_000
    assert "+0.5000  row 2, column 3" in repr(shown)


def test_the_ground_of_a_heat_map_is_transparent_and_its_sign_a_colour():
    heat = heat_map(np.array([[0.0, 1.0], [-0.5, 0.0]]))
    assert heat[..., 3].tolist() == [[0, 255], [128, 0]]
    assert heat[0, 1, :3].tolist() == [47, 129, 247]
    assert heat[1, 0, :3].tolist() == [219, 109, 40]


def test_no_ground_is_white():
    for shown in (row([1.0, -1.0]), row([[1.0]], picture=np.zeros((1, 1), np.uint8))):
        assert not re.search(r"#fff\b|#ffffff|background:white", markup(explanation(shown)))
