"""Average precision against naive loops, hand-made cases, and what must not change it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.errors import DataError
from experiments.deferral.detection_metrics import (
    THRESHOLDS,
    Boxes,
    average_precision,
    iou,
    judge,
    mean_average_precision,
)

SQUARE = (0.0, 0.0, 10.0, 10.0)
SHIFTED = (0.0, 0.0, 10.0, 6.0)  # overlaps SQUARE by 0.6
FAR = (50.0, 50.0, 60.0, 60.0)
FARTHER = (80.0, 50.0, 90.0, 60.0)


def boxes(*corners, classes=None):
    return Boxes(
        corners=np.array(corners, dtype=float).reshape(-1, 4),
        classes=np.array(classes if classes is not None else [0] * len(corners), dtype=int),
    )


def judged(detected, scores, truth, *, classes=1, thresholds=(0.5,)):
    return judge(detected, np.array(scores), truth, classes=classes, thresholds=thresholds)


def random_image(seed, *, classes=2):
    """Objects, and detections that are mostly objects moved a little."""
    rng = np.random.default_rng(seed)

    def some(count):
        low = rng.integers(0, 20, (count, 2))
        return np.concatenate([low, low + rng.integers(4, 12, (count, 2))], axis=1)

    right = some(rng.integers(1, 6))
    moved = np.repeat(right, 2, axis=0) + rng.integers(-1, 2, (2 * len(right), 4))
    found = np.concatenate([moved, some(3)])
    truth = boxes(*right, classes=rng.integers(0, classes, len(right)))
    detected = boxes(*found, classes=rng.integers(0, classes, len(found)))
    return detected, rng.permutation(len(found)) / len(found), truth


def naive_overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = width * height if width > 0 and height > 0 else 0
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return common / (area - common)


def naive_average_precision(images, number, threshold):
    """Loops over everything: images are (detected, scores, truth)."""
    everything = [
        (score, image, box)
        for image, (detected, scores, _) in enumerate(images)
        for score, box, label in zip(scores, detected.corners, detected.classes, strict=True)
        if label == number
    ]
    right = {
        image: [box for box, label in zip(t.corners, t.classes, strict=True) if label == number]
        for image, (_, _, t) in enumerate(images)
    }
    objects = sum(map(len, right.values()))
    taken, hits, points = set(), 0, []
    for rank, (_, image, box) in enumerate(sorted(everything, key=lambda each: -each[0]), 1):
        best, at = threshold, None
        for index, other in enumerate(right[image]):
            overlap = naive_overlap(box, other)
            if (image, index) not in taken and overlap >= best and (at is None or overlap > best):
                best, at = overlap, index
        if at is not None:
            taken.add((image, at))
            hits += 1
        points.append((hits / objects, hits / rank))
    area, before = 0.0, 0.0
    for index, (recall, _) in enumerate(points):
        area += (recall - before) * max(precision for _, precision in points[index:])
        before = recall
    return area


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=4, unique=True))
def test_average_precision_is_that_of_naive_loops(seeds):
    # Scores of different images must differ, or their order is open.
    images = [
        (detected, scores + number / 1000, truth)
        for number, (detected, scores, truth) in enumerate(map(random_image, seeds))
    ]
    found = [judge(*each, classes=2) for each in images]

    for number in range(2):
        values = average_precision([each[number] for each in found])

        if any((truth.classes == number).any() for _, _, truth in images):
            expected = [naive_average_precision(images, number, each) for each in THRESHOLDS]
            np.testing.assert_allclose(values, expected, atol=1e-12)
        else:
            assert np.isnan(values).all()


def test_overlaps_are_those_worked_out_by_hand():
    ones = boxes(SQUARE, (5.0, 5.0, 15.0, 15.0)).corners
    others = boxes(SQUARE, SHIFTED, FAR).corners

    np.testing.assert_allclose(iou(ones, others), [[1, 0.6, 0], [25 / 175, 5 / 155, 0]])


def test_a_hit_after_a_false_alarm_is_half_precise():
    image = judged(boxes(FAR, SQUARE), [0.9, 0.8], boxes(SQUARE))

    assert mean_average_precision([image]) == pytest.approx([0.5])


def test_one_of_two_objects_found_is_half_of_the_area_whatever_false_alarms_come_later():
    image = judged(boxes(SQUARE, FAR, FAR), [0.9, 0.2, 0.1], boxes(SQUARE, FARTHER))

    assert mean_average_precision([image]) == pytest.approx([0.5])


def test_an_object_is_hit_only_once():
    image = judged(boxes(SQUARE, SQUARE), [0.9, 0.8], boxes(SQUARE, FAR))

    assert image[0].hits[:, 0].tolist() == [True, False]


def test_a_detection_takes_the_next_best_object_if_the_best_is_taken():
    image = judged(boxes(SQUARE, SQUARE), [0.9, 0.8], boxes(SHIFTED, SQUARE))

    assert image[0].hits[:, 0].tolist() == [True, True]


def test_a_stricter_threshold_turns_a_rough_hit_into_a_miss():
    image = judged(boxes(SHIFTED), [0.9], boxes(SQUARE), thresholds=(0.55, 0.6, 0.65))

    assert mean_average_precision([image]).tolist() == [1, 1, 0]


def test_a_box_of_another_class_is_no_hit():
    image = judged(boxes(SQUARE, classes=[1]), [0.9], boxes(SQUARE), classes=2)

    assert mean_average_precision([image]).tolist() == [0]


def test_classes_weigh_alike_however_many_objects_they_have():
    truth = boxes(SQUARE, FAR, FARTHER, classes=[0, 0, 1])
    image = judged(boxes(FARTHER, classes=[1]), [0.9], truth, classes=2)

    assert mean_average_precision([image]) == pytest.approx([0.5])


def test_false_alarms_of_a_class_count_only_beside_an_image_that_has_it():
    alarm = judged(boxes(SQUARE, FAR, classes=[0, 1]), [0.8, 0.9], boxes(SQUARE), classes=2)
    other = judged(boxes(SQUARE, classes=[1]), [0.7], boxes(SQUARE, classes=[1]), classes=2)

    alone, together = mean_average_precision([alarm]), mean_average_precision([alarm, other])

    assert alone == pytest.approx([1])
    assert together == pytest.approx([(1 + 0.5) / 2])


def test_nothing_found_is_worth_nothing():
    image = judged(boxes(), [], boxes(SQUARE))

    assert mean_average_precision([image]).tolist() == [0]


def test_images_without_any_object_are_refused():
    image = judged(boxes(SQUARE), [0.9], boxes())

    with pytest.raises(DataError, match="nothing to detect on 1 images"):
        mean_average_precision([image])


@given(st.integers(0, 10_000))
def test_true_boxes_are_perfect_at_every_threshold(seed):
    _, _, truth = random_image(seed)

    image = judge(truth, np.ones(len(truth.classes)), truth, classes=2)

    assert mean_average_precision([image]).tolist() == [1] * len(THRESHOLDS)


@given(st.integers(0, 10_000))
def test_only_the_order_of_scores_matters(seed):
    detected, scores, truth = random_image(seed)

    plain, bent = (
        mean_average_precision([judge(detected, each, truth, classes=2)])
        for each in (scores, np.exp(3 * scores))
    )

    np.testing.assert_array_equal(plain, bent)
