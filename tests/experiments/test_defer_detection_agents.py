"""The detectors: how large they are, what they learn from, what is kept of their answers."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.deferral.detection_agents import (
    SIZES,
    _mirrored,
    answers,
    build,
    kept_answers,
    trained,
)
from experiments.deferral.detection_images import (
    CLASSES,
    FILE,
    HEIGHT,
    WIDTH,
    Images,
    blood_cells,
)
from experiments.deferral.detection_metrics import Boxes

SMALLEST = SIZES[0]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def images():
    """Black images with one white rectangle each: two to learn from, one to be asked about."""
    pixels = torch.zeros(3, 3, HEIGHT, WIDTH, dtype=torch.uint8)
    truth = []
    for number in range(3):
        left, top = 40 + 60 * number, 30 + 20 * number
        pixels[number, :, top : top + 50, left : left + 50] = 255
        corners = np.array([[left, top, left + 50, top + 50]], dtype=float)
        truth.append(Boxes(corners=corners, classes=np.array([0])))
    return Images(pixels=pixels, truth=tuple(truth), train=np.array([True, True, False]))


@pytest.fixture(scope="module")
def cells():
    beside = Path(__file__).parents[2] / ".." / "shared" / "data"
    folder = Path(os.environ.get("ASSISTLEARN_DATA", beside))
    if not (folder / FILE).is_file():
        pytest.skip(f"BCCD is not at {folder / FILE}: set ASSISTLEARN_DATA")
    return blood_cells(folder)


def test_each_detector_makes_more_operations_than_the_one_before(images):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        gflops = [
            answers(build(size).eval(), images, seconds=0.0).gflops for size in SIZES
        ]  # untrained: how much is computed does not depend on what is found

    assert 5 * gflops[0] < gflops[1] < 0.8 * gflops[2]


@pytest.mark.parametrize("seed", range(4))
def test_boxes_are_mirrored_with_their_image(images, seed):
    picture, target = _mirrored(images, 0, torch.Generator().manual_seed(seed))

    left, top, right, bottom = target["boxes"][0].int().tolist()
    assert picture[:, top:bottom, left:right].min() == 1
    assert picture.sum() == 3 * 50 * 50
    assert target["labels"].tolist() == [1]


def test_mirroring_leaves_the_images_as_they_are(images):
    before = images.truth[0].corners.copy()

    for seed in range(4):
        _mirrored(images, 0, torch.Generator().manual_seed(seed))

    np.testing.assert_array_equal(images.truth[0].corners, before)


def test_a_seed_gives_the_same_detector_and_another_seed_another(images):
    first, again, other = (
        trained(SMALLEST, images, epochs=1, seed=seed).state_dict() for seed in (0, 0, 1)
    )

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_training_leaves_the_callers_random_numbers_alone(images):
    state = torch.get_rng_state()

    trained(SMALLEST, images, epochs=1, seed=0)

    assert torch.equal(torch.get_rng_state(), state)


def test_only_images_that_were_not_trained_on_are_answered_and_the_file_says_the_same(
    images, tmp_path
):
    made = kept_answers(tmp_path, SMALLEST, images, epochs=1, seed=0)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns

    again = kept_answers(tmp_path, SMALLEST, images, epochs=1, seed=0)

    assert len(made.boxes) == len(made.scores) == 1
    np.testing.assert_array_equal(made.boxes[0].corners, again.boxes[0].corners)
    np.testing.assert_array_equal(made.scores[0], again.scores[0])
    assert made.gflops == again.gflops > 0
    assert file.stat().st_mtime_ns == written


def test_the_images_are_those_of_the_source_at_half_their_size(cells):
    counts = Counter(np.concatenate([each.classes for each in cells.truth]).tolist())

    assert [counts[number] for number in range(len(CLASSES))] == [4153, 372, 361]
    assert cells.train.sum() == 205
    assert cells.pixels.shape == (364, 3, HEIGHT, WIDTH)
    for each in cells.truth:
        assert (each.corners[:, 2:] > each.corners[:, :2]).all()
        assert (each.corners >= 0).all()
        assert (each.corners <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
