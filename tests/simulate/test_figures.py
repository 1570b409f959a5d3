"""Figures are drawn for every shape of results, without a window system."""

import html
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from simulating import made_results, small_settings

from assistlearn.errors import StorageError
from parties.simulate.figures import LINES, _draw_against_rounds, draw_costs, draw_rounds
from parties.simulate.outcome import ASSISTED, LABELS, METHODS

CURVES = {method: [[0.1, 0.5, 0.6 + 0.01 * n], [0.1, 0.4, 0.7]] for n, method in enumerate(METHODS)}


@pytest.mark.parametrize("draw", [draw_rounds, draw_costs])
@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("price", [0, 5000])
def test_figures_are_drawn_with_and_without_spread_and_price(tmp_path, draw, seeds, price):
    curves = {method: by_seed[:seeds] for method, by_seed in CURVES.items()}
    settings = small_settings(seeds=list(range(seeds)), price=price)

    draw(tmp_path / "figure.png", made_results(curves, settings=settings))

    height, width, _ = imread(tmp_path / "figure.png").shape
    assert height > 500
    assert width > 700


def test_every_method_has_a_line_and_a_label_of_its_own():
    assert set(LINES) == set(LABELS) == set(METHODS)
    assert len({line.colour for line in LINES.values()}) == len(LINES)
    assert len({(line.style, line.marker) for line in LINES.values()}) == len(LINES)


def test_a_disk_that_refuses_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError):
        draw_rounds(tmp_path / "absent" / "figure.png", made_results(CURVES))


def test_drawing_never_loads_the_interactive_part_of_matplotlib():
    check = "import sys, parties.simulate.figures; assert 'matplotlib.pyplot' not in sys.modules"

    subprocess.run([sys.executable, "-c", check], check=True)


def test_rounds_that_were_not_made_are_drawn_thin_and_without_markers():
    curves = {ASSISTED: [[0.1, 0.5, 0.6], [0.1, 0.4]], "learner_only": [[0.1, *[0.4] * 5]] * 2}
    results = made_results(curves, settings=small_settings(rounds=5, budget=25_000))
    axis = Figure().add_subplot()

    for method in curves:
        _draw_against_rounds(axis, results, method, "accuracy")

    made, held, alone = axis.lines
    assert (list(made.get_xdata()), list(held.get_xdata())) == ([1, 2], [2, 5])
    assert list(held.get_ydata()) == [made.get_ydata()[-1]] * 2
    assert made.get_marker() != held.get_marker() == ""
    assert held.get_linewidth() < made.get_linewidth()
    assert list(alone.get_xdata()) == [1, 2, 3, 4, 5]
    assert len(axis.get_legend_handles_labels()[1]) == len(curves)


def test_a_figure_names_the_error_only_where_one_is_drawn(tmp_path):
    results = made_results(CURVES)

    for draw, name in ((draw_rounds, "rounds.svg"), (draw_costs, "costs.svg")):
        draw(tmp_path / name, results)

    # The text of an SVG is drawn as paths, with what they say in comments.
    assert "mean and standard error of 2 seeds" in (tmp_path / "rounds.svg").read_text()
    assert "mean of 2 seeds" in (tmp_path / "costs.svg").read_text()


@pytest.mark.parametrize("draw", [draw_rounds, draw_costs])
def test_a_figure_says_that_it_is_scaled_and_only_then(tmp_path, draw):
    results = made_results(CURVES)

    draw(tmp_path / "full.svg", results)
    draw(tmp_path / "small.svg", replace(results, scale=0.1))

    # The comment of an SVG cannot hold every character of the text.
    said = "scaled to 0.1: not the study's figures"
    assert said in html.unescape((tmp_path / "small.svg").read_text())
    assert "scaled" not in (tmp_path / "full.svg").read_text()


def test_a_caption_that_is_wider_than_its_figure_takes_two_lines(tmp_path):
    one_panel = small_settings(price=0, imbalance=0.0625)

    draw_costs(tmp_path / "f.svg", replace(made_results(CURVES, settings=one_panel), scale=0.0125))

    # Each line of text has a comment of its own.
    lines = re.findall("<!-- (.*?) -->", (tmp_path / "f.svg").read_text())
    assert any(each.startswith("digits, imbalance 0.0625") for each in lines)
    assert "figures" in lines
