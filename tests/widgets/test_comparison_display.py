"""How comparisons look: names of any kind, narrow cells, what failed."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import pytest

from maas_jupyter.optimization import Candidate, Comparison, Measurement, Quality, Speed
from maas_jupyter.widgets.comparison import render

EVIL = "<img src=x onerror=alert(1)>\"'&"


def measured(metric=0.97, p50=1.0):
    quality = Quality(metric, None, metric - 0.97, None, 0.1, 0.01, 0.99)
    return Measurement(1000, 1000, quality, Speed(p50, p50, 0.01, 100.0, 8))


def comparison(*candidates, **options):
    first = Candidate("original", "", "fp32", measured(), "original", "")
    return Comparison("digits/1", "r2", 0.01, [EVIL], [], 100, 2, [first, *candidates], **options)


def picture(shown):
    return base64.b64decode(re.search(r"svg\+xml;base64,([^\"]+)", shown)[1]).decode()


def test_names_reasons_notes_and_commands_are_escaped():
    evil = Candidate(EVIL, EVIL, "int8", measured(p50=0.5), "good", EVIL)
    shown = render(comparison(evil, notes=[EVIL], command=EVIL))["text/html"]
    assert "<img src=x" not in shown
    assert "onerror=alert(1)&gt;" in shown
    assert EVIL in "".join(ElementTree.fromstring(picture(shown)).itertext())


def test_verdicts_and_reasons_stand_at_the_left_and_long_ones_wrap():
    shown = render(comparison(Candidate("a", "", "", None, "failed", "x" * 300)))["text/html"]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", shown)[8:]
    assert "overflow-wrap:anywhere" in cells[0]
    assert ">failed</span>" in cells[1]


def test_a_picture_fits_into_a_narrow_cell_with_its_tooltips():
    shown = render(comparison(Candidate("a", "", "int8", measured(p50=0.5), "good", "")))["text/html"]
    assert "max-width:100%" in shown
    places = re.findall(r'title="[^"]*ms, r2[^"]*" style="position:absolute;left:([\d.]+)%;top:([\d.]+)%', shown)
    assert len(places) == 2
    assert all(0 <= float(part) <= 100 for place in places for part in place)


@pytest.mark.parametrize("metric", [-12345.678, -1e9])
def test_a_very_low_r2_stays_readable(metric):
    found = comparison(Candidate("bad", "", "int8", measured(metric, 0.5), "worse", "it falls"))
    labels = re.findall(r">(-?[\d.e+]+)</text>", picture(render(found)["text/html"]))
    assert all(len(label) <= 10 for label in labels)
    (line,) = [line for line in repr(found).splitlines() if line.startswith("bad")]
    assert f" {metric:.4f} " in line


def test_where_nothing_could_be_measured_it_says_so():
    assert comparison(Candidate("a", "", "", None, "failed", "no")).conclusion == (
        "No candidate could be measured; nothing was registered."
    )
