"""The study of detectors: who decides what from what, and what it says of the outcome."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from assistlearn.deferral.report import Spread
from experiments.deferral.common import BEST_AGENT, RANDOM, one_thread
from experiments.deferral.detection import (
    allocation,
    differences,
    findings,
    losses,
    precisions,
    sentences,
)
from experiments.deferral.detection_agents import Answers
from experiments.deferral.detection_figure import draw
from experiments.deferral.detection_images import Images
from experiments.deferral.detection_methods import (
    AGENTS,
    METHODS,
    ORACLE,
    PUBLISHED,
    TWO_STAGE,
    decided,
    described,
    held,
    point,
)
from experiments.deferral.detection_metrics import Boxes, mean_average_precision
from parties.output import json_safe

RATIO = 0.5
FOUND = (0.3, 0.6, 0.95)  # how many of the objects each agent finds
QUICK = {
    name: dataclasses.replace(each, grid={key: values[-1:] for key, values in each.grid.items()})
    for name, each in METHODS.items()
}
"""All methods, with nothing to choose."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    one_thread()
    yield
    torch.set_num_threads(threads)


def some_images(seed, *, count=20):
    """Grey images with objects, two of them to train on, and agents that find some of them."""
    rng = np.random.default_rng(seed)
    truth, found = [], [[], [], []]
    for _ in range(count + 2):
        objects = rng.integers(2, 6)
        low = rng.uniform(0, 200, (objects, 2))
        corners = np.concatenate([low, low + rng.uniform(10, 40, (objects, 2))], axis=1)
        truth.append(Boxes(corners=corners, classes=rng.integers(0, 3, objects)))
        for share, mine in zip(FOUND, found, strict=True):
            some = rng.random(objects) < share
            mine.append((Boxes(corners=corners[some], classes=truth[-1].classes[some]), some))
    pixels = torch.from_numpy(rng.integers(0, 256, (count + 2, 3, 4, 4), dtype=np.uint8))
    train = np.arange(count + 2) < 2
    answers = [
        Answers(
            boxes=tuple(boxes for boxes, _ in mine[2:]),
            scores=tuple(rng.random(some.sum()) for _, some in mine[2:]),
            gflops=gflops,
            seconds=1.0,
        )
        for mine, gflops in zip(found, (0.1, 0.5, 1.0), strict=True)
    ]
    return Images(pixels=pixels, truth=tuple(truth), train=train), answers


@pytest.fixture(scope="module")
def seeds():
    return [held(*some_images(seed)) for seed in range(2)]


@pytest.fixture(scope="module")
def points(seeds):
    return [point(price, RATIO, seeds, methods=QUICK) for price in (0.05, 0.5)]


def test_quality_is_the_average_precision_of_one_image(seeds):
    first = seeds[0]

    for agent in range(3):
        for image in (0, 7):
            alone = mean_average_precision([first.judged[agent][image]]).mean()

            assert first.quality[image, agent] == alone
    assert (np.diff(first.quality.mean(axis=0)) > 0.05).all()


def test_a_routing_is_as_precise_as_the_answers_that_it_takes(seeds):
    first = seeds[0]
    agents_B = np.arange(len(first.features)) % 3

    found = first.precision(agents_B)

    taken = [first.judged[agent][image] for image, agent in enumerate(agents_B)]
    np.testing.assert_array_equal(found, mean_average_precision(taken))


def test_features_are_of_the_images_that_no_detector_saw_and_start_with_confidence():
    images, answers = some_images(5)

    features = described(images, answers[0])

    scores = answers[0].scores[3]
    assert features.shape == (20, 1 + 2 * 3 + 2 * 3)
    assert features[3, 0] == pytest.approx(scores.mean() if len(scores) else 0)
    assert features[3, 7] == pytest.approx(float(images.pixels[5, 0].double().mean()))


def test_an_image_is_decided_by_rejectors_that_do_not_know_what_it_costs(seeds):
    first = seeds[0]
    costs = 1 - first.quality + np.array([0.0, 0.05, 0.1])
    others = costs.copy()
    others[4] = [3.0, 0.0, 3.0]

    plain, changed = (
        decided(first.features, each, seed=0, methods=QUICK) for each in (costs, others)
    )

    for name, agents_B in plain.items():
        assert agents_B[4] == changed[name][4]


def test_what_is_random_costs_what_shares_of_the_agents_mean_costs_say(points):
    each = points[0]
    expected = [
        np.dot(metrics.shares, [agent.alone.metrics[seed].deferral_loss for agent in agents])
        for seed, metrics in enumerate(each.report.method(TWO_STAGE).metrics)
        for agents in [each.report.agents]
    ]

    assert each.loss(RANDOM).mean == pytest.approx(np.mean(expected))
    assert each.shares(RANDOM) == each.shares(TWO_STAGE)


def test_agents_alone_cost_their_error_and_their_price(points, seeds):
    for each in points:
        prices = (0.0, RATIO * each.price, each.price)
        for number, name in enumerate(AGENTS):
            error = np.mean([1 - found.quality[:, number].mean() for found in seeds])

            assert each.loss(name).mean == pytest.approx(error + prices[number])
            assert each.shares(name)[number].mean == 1


def test_nobody_undercuts_the_oracle_and_the_best_agent_is_zero_from_itself(points):
    for each in points:
        assert all(
            each.loss(name).mean >= each.loss(ORACLE).mean for name in (*METHODS, RANDOM, *AGENTS)
        )
        assert each.against_best[BEST_AGENT].mean == 0
        ahead = each.report.difference(TWO_STAGE, BEST_AGENT, lambda m: m.deferral_loss)
        assert each.against_best[TWO_STAGE].mean == pytest.approx(ahead.mean)


def test_the_published_rows_divide_all_images_and_stand_beside_ours(points):
    for _, *shares in PUBLISHED.values():
        assert sum(shares) == pytest.approx(100)

    rows = allocation(points).rows

    assert rows[0][-4:] == ("52.5", "7.3", "0.0", "92.7")
    assert rows[1][-4:] == ("39.5", "100.0", "0.0", "0.0")


def test_a_price_without_a_published_row_leaves_it_open(points):
    other = dataclasses.replace(points[0], price=0.03)

    assert allocation([other]).rows[0][-4:] == ("-", "-", "-", "-")


def test_every_table_has_a_row_for_each_price(points):
    for table in (allocation(points), losses(points), differences(points), precisions(points)):
        assert [row[0] for row in table.rows] == ["0.05", "0.5"]


def test_sentences_count_the_prices_at_which_a_method_is_told_apart(points):
    def spreads(mean):
        return {
            name: Spread(mean=mean, half_width=0.01, count=20) for name in points[0].against_best
        }

    better, worse = (
        dataclasses.replace(each, against_best=spreads(mean))
        for each, mean in zip(points, (-0.02, 0.02), strict=True)
    )

    found = [*sentences([better, worse], RATIO)]

    assert "paper: 52.8 to 39.5" in found[0]
    assert found[2].startswith("two-stage costs less than the best single agent at 1 of 2 prices")
    assert found[2].endswith("more at 1, and is not told apart at 0.")


def test_findings_are_plain_values_and_the_figure_is_small(points, seeds, tmp_path):
    document = json.loads(json.dumps(json_safe(findings(points, seeds, RATIO))))
    draw(tmp_path / "figure.png", points, seeds=2, note="made up")

    assert document["published"]["rows"]["0.05"] == [52.5, 7.3, 0.0, 92.7]
    assert {*document["prices"][0]["methods"]} == {*METHODS, RANDOM, *AGENTS, ORACLE}
    assert (tmp_path / "figure.png").stat().st_size < 150_000
