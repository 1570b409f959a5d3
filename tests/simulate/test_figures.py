"""Figures are drawn for every shape of results, without a window system."""

import subprocess
import sys

import pytest
from matplotlib.image import imread
from simulating import made_results, small_settings

from assistlearn.errors import StorageError
from parties.simulate.figures import LINES, draw_costs, draw_rounds
from parties.simulate.outcome import LABELS, METHODS

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
