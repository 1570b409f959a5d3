"""Intervals over seeds: what they cover, and what a report says where seeds lack a figure."""

import json

import numpy as np
import pytest
from scipy import stats

from assistlearn.deferral.report import (
    deferral_report,
    report_json,
    report_markdown,
    report_tables,
    report_text,
    spread,
    trial,
)

SEEDS, ROWS, HELD = 60, 100, 20


def loss(metrics):
    """The figure that all methods are compared by."""
    return metrics.deferral_loss


def missed(overlap):
    """Of 200 tables of pure noise, on how many the interval excludes the true difference, 0."""
    generator = np.random.default_rng(4)
    count = 0
    for _ in range(200):
        gains = generator.normal(size=ROWS)  # of one agent over another that is as good
        held = np.argsort(generator.random((SEEDS, ROWS)), axis=1)[:, :HELD]
        found = spread(gains[held].mean(axis=1).tolist(), overlap=overlap)
        count += abs(found.mean) > found.half_width
    return count / 200


def test_with_the_overlap_noise_in_one_table_is_seldom_called_a_difference():
    assert missed(HELD / (ROWS - HELD)) <= 0.08


def test_without_it_seeds_that_divide_one_table_anew_call_noise_a_difference():
    assert missed(0.0) > 0.5


@pytest.mark.parametrize("overlap", [0.0, 0.25, 1.0])
def test_half_an_interval_is_students_quantile_times_the_corrected_error(overlap):
    values = [0.2, 0.5, 0.3, 0.9]

    found = spread(values, overlap=overlap)

    error = np.std(values, ddof=1) * np.sqrt(1 / 4 + overlap)
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 3) * error)
    assert found.mean == pytest.approx(np.mean(values))


def trials(seeds=5, examples=40):
    """Seeds that differ in costs and in what the methods chose."""
    for seed in range(seeds):
        generator = np.random.default_rng(seed)
        costs = generator.random((examples, 3))
        chosen = {name: generator.integers(0, 3, examples) for name in ("one", "two")}
        yield trial(costs, chosen, seed=seed, groups_B=np.arange(examples) % 2)


def test_every_interval_of_a_report_is_corrected_by_its_overlap():
    plain, corrected = (deferral_report([*trials()], overlap=each) for each in (0.0, 0.25))
    factor = np.sqrt((1 / 5 + 0.25) / (1 / 5))

    for pick in (
        lambda report: report.method("one").spread(loss),
        lambda report: report.oracle.spread(loss),
        lambda report: report.agents[1].alone.spread(loss),
        lambda report: report.difference("one", "two", loss),
        lambda report: report.spread(report.agents[0].oracle_shares),
    ):
        assert pick(corrected).half_width == pytest.approx(factor * pick(plain).half_width)
        assert pick(corrected).mean == pick(plain).mean
    widths = [
        [float(part.split()[0]) for part in report_tables(each)[0].text().split("±")[1:]]
        for each in (plain, corrected)
    ]
    assert len(widths[1]) == len(widths[0]) == 24
    assert np.allclose(widths[1], factor * np.array(widths[0]), atol=0.1)
    assert sum(widths[1]) > 1.4 * sum(widths[0])


def test_a_corrected_report_says_so_in_text_and_in_json():
    words = "95 % interval over 5 seeds, corrected for re-divisions of one table"
    plain, corrected = (deferral_report([*trials()], overlap=each) for each in (0.0, 0.25))

    assert words in report_text(corrected)
    assert words in report_markdown(corrected)
    assert "corrected" not in report_text(plain)
    document = json.loads(json.dumps(report_json(corrected), allow_nan=False))
    assert document["overlap"] == 0.25
    width = document["summary"]["one"]["deferral_loss"]["half_width"]
    assert width == corrected.method("one").spread(loss).half_width


def some_seeds_only():
    """An expert that two of five seeds need, and a group that only they have."""
    found = []
    for seed in range(5):
        costs = np.tile([0.0, 0.5], (40, 1))
        groups = np.full(40, "all", dtype=object)
        chosen = np.zeros(40, int)
        if seed < 2:
            costs[:4], groups[:2] = [1.0, 0.0], "rare"
            chosen[: 4 - seed] = 1
        found.append(trial(costs, {"it": chosen}, seed=seed, groups_B=groups))
    return deferral_report(found, agents=["main", "expert"])


def test_cells_say_in_how_many_seeds_a_figure_exists():
    report = some_seeds_only()

    text = report_text(report)

    assert "87.5 (0.0 to 100.0) (2 of 5)" in text
    rare = next(line for line in text.splitlines() if "it: rare" in line)
    assert rare.split()[2] == "0.8"  # examples, over all seeds
    assert rare.count("(2 of 5)") == 3
    common = next(line for line in text.splitlines() if "it: all" in line)
    assert "of 5" not in common
    found = report_json(report)["summary"]["it"]["recall_min"]
    assert (found["count"], found["seeds"]) == (2, 5)


def test_an_interval_of_shares_ends_where_shares_do():
    text = report_text(some_seeds_only())

    shares = next(line for line in text.splitlines() if line.startswith("main "))
    assert "to 100.0)" in shares
    for line in text.splitlines():
        for part in line.split("("):
            assert not part.startswith("-")
