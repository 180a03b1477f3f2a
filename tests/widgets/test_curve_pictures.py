from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from run_states import run_state

from maas_jupyter.runs import Best, Curve
from maas_jupyter.widgets.curves import BEST, MOST_PANELS, TRAIN, VAL, Line, Panel, curves_image, curves_svg, run_panels

SVG = "{http://www.w3.org/2000/svg}"


def drawn(panels, end=5.0):
    return ElementTree.fromstring(curves_svg(panels, end))


def luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return sum(share * each for share, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_training_and_validation_stand_in_one_panel_for_each_metric_the_loss_first():
    state = run_state()
    panels = run_panels(state.curves, state.history, state.best)
    assert [panel.title for panel in panels] == ["loss", "accuracy"]
    assert [line.label for line in panels[0].lines] == ["by step", "train", "val"]
    assert [line.label for line in panels[1].lines] == ["train", "val"]
    assert len(panels[0].lines[0].points) == 100
    assert [x for x, _ in panels[0].lines[1].points] == [1, 2, 3, 4, 5]


def test_the_best_epoch_is_marked_in_the_panel_of_the_watched_metric():
    state = run_state()
    panels = run_panels(state.curves, state.history, state.best)
    assert panels[0].best == (4, state.best.value)
    assert panels[1].best is None
    texts = [text.text for text in drawn(panels).iter(f"{SVG}text")]
    assert texts.count("best: epoch 4") == 1


def test_a_history_without_its_first_epochs_leaves_the_loss_by_step():
    state = run_state()
    panels = run_panels(state.curves, state.history[2:], state.best)
    assert [line.label for line in panels[0].lines] == ["train", "val"]
    assert len(panels[0].lines[0].points) == 100


def test_a_history_alone_is_enough():
    panels = run_panels({}, run_state().history)
    assert [panel.title for panel in panels] == ["loss", "accuracy"]


@pytest.mark.parametrize("history", [[], [{"epoch": 1.0}], [{"epoch": 1.0, "loss": float("nan")}]])
def test_nothing_to_draw_is_no_error(history):
    assert "<script" not in curves_image(run_panels({}, history), 1.0, "Nothing")


def test_one_point_equal_values_and_an_end_before_the_points_can_be_drawn():
    for points in ([(1.0, 0.5)], [(1.0, 0.0), (2.0, 0.0)], [(1.0, 1e30), (9.0, 1e30)], [(3.0, -5.0)]):
        numbers = re.findall(r"-?\d+\.\d+|nan|inf", curves_svg([Panel("m", [Line("train", points, TRAIN)])], 2.0))
        assert "nan" not in numbers
        assert "inf" not in numbers


def test_names_are_escaped():
    panels = [Panel("<b>&", [Line("<i>", [(1.0, 1.0)], TRAIN)])]
    assert "<b>" not in curves_svg(panels, 1.0)
    drawn(panels)


@pytest.mark.parametrize("colour", [TRAIN, VAL, BEST])
def test_colours_read_on_a_light_and_on_a_dark_page(colour):
    for ground in ("#ffffff", "#111111"):
        light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3


def test_a_picture_has_no_ground_of_its_own():
    svg = curves_svg(run_panels({}, run_state().history), 5.0)
    assert {rect.get("fill") for rect in ElementTree.fromstring(svg).iter(f"{SVG}rect")} == {"none"}


def test_what_does_not_fit_is_named_and_the_picture_stays_small():
    curves = {f"metric_{number}": Curve(x=[float(x) for x in range(399)], y=[0.5] * 399) for number in range(500)}
    markup = curves_image(run_panels(curves, (), Best(3, "metric_0", 0.5)), 399.0, "Many")
    assert f"{500 - MOST_PANELS} more metrics are not drawn: metric_{MOST_PANELS}," in markup
    assert len(markup) < 100_000


def test_the_axis_of_a_run_that_was_stopped_within_an_epoch_ends_at_a_whole_one():
    svg = curves_svg([Panel("loss", [Line("train", [(0.5, 1.0), (36.1, 0.5)], TRAIN)])], 36.1)
    assert ">37<" in svg
    assert "36.1<" not in svg
