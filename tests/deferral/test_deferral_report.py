"""A report as a whole: seeds, names, tables, JSON, figures, and what it refuses."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from assistlearn.deferral.report import (
    Table,
    deferral_report,
    report_json,
    report_markdown,
    report_text,
    spread,
    trial,
    write_report,
)
from assistlearn.errors import ConfigError, DataError, StorageError


class Decided:
    """As a rejector's decisions: agents, and the scores behind them."""

    def __init__(self, scores):
        self.scores = scores
        self.agents = scores.argmax(axis=1)


def some_trial(  # noqa: PLR0913  (what a held-out set may have)
    seed=0, *, examples=40, agents=3, priced=True, judged=True, grouped=False
):
    generator = np.random.default_rng(seed)
    correct = generator.random((examples, agents)) < 0.6
    prices = 0.1 * np.arange(agents) if priced else np.zeros(agents)
    costs = 1 - correct + prices
    return trial(
        costs,
        {
            "scored": Decided(generator.random((examples, agents)) - costs),
            "random": generator.integers(0, agents, examples),
            "always 1": np.ones(examples, dtype=int),
        },
        prices=prices,
        correct_BA=correct if judged else None,
        groups_B=generator.integers(0, 2, examples) if grouped else None,
        seed=seed,
    )


@pytest.fixture(scope="module")
def report():
    return deferral_report([some_trial(seed, grouped=True) for seed in range(3)])


def test_an_interval_over_seeds_is_students():
    values = [0.2, 0.5, 0.3, 0.9]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))

    found = spread(values)

    assert found.mean == pytest.approx(np.mean(values))
    assert found.half_width == pytest.approx((high - low) / 2)


def test_seeds_without_a_value_are_left_out_and_infinite_ones_stay():
    assert spread([0.5, math.nan, 0.7]).count == 2
    assert spread([math.nan]).count == 0
    assert spread([math.inf, 1.0]).mean == math.inf
    assert math.isnan(spread([math.inf, 1.0]).half_width)
    assert math.isnan(spread([0.5]).half_width)


def test_differences_between_methods_are_taken_seed_by_seed(report):
    found = report.difference("scored", "random", lambda m: m.deferral_loss)

    pairs = zip(report.method("scored").metrics, report.method("random").metrics, strict=True)
    assert found == spread([one.deferral_loss - two.deferral_loss for one, two in pairs])


def test_the_best_method_and_the_best_agent_have_the_least_mean_loss(report):
    losses = {each.name: each.spread(lambda m: m.deferral_loss).mean for each in report.methods}
    alone = {each.name: each.alone.spread(lambda m: m.deferral_loss).mean for each in report.agents}

    assert losses[report.best.name] == min(losses.values())
    assert alone[report.best_agent.name] == min(alone.values())


def test_a_method_that_nobody_reported_is_named_with_those_that_were(report):
    with pytest.raises(ConfigError, match="no method 'mine'") as caught:
        report.method("mine")

    assert "'scored'" in caught.value.hint


def test_tables_hold_means_and_intervals_for_every_method_agent_and_group(report):
    text = report_text(report)

    loss = report.method("scored").spread(lambda m: m.deferral_loss)
    assert f"{loss.mean:.3f} ±{loss.half_width:.3f}" in text
    assert "40 held-out examples, mean and 95 % interval over 3 seeds" in text
    for name in ("random", "always 1", "always agent 2", "oracle", "scored: 0", "scored: 1"):
        assert name in text
    assert max(map(len, text.splitlines())) < 200


def test_a_single_seed_has_no_interval():
    text = report_text(deferral_report(some_trial()))

    assert "one seed" in text
    assert "±" not in text


def test_what_nobody_priced_or_judged_has_no_column():
    text = report_text(deferral_report(some_trial(priced=False, judged=False)))

    summary = text.split("\n\n")[0]
    assert "accuracy" not in summary
    assert "price" not in summary


def test_a_table_is_turned_where_that_makes_it_narrower():
    wide = Table(
        title="", columns=("", *("a name that is long",) * 3), rows=(("x", "1", "2", "3"),)
    )

    turned = wide.narrower()

    assert turned.columns == ("", "x")
    assert turned.rows[0] == ("a name that is long", "1")
    assert turned.narrower() == turned


@pytest.mark.parametrize(("width", "columns"), [(30, 3), (24, 3), (23, 2), (1, 2)])
def test_a_table_is_cut_from_the_right_until_it_fits(width, columns):
    rows = (("method", "1.0", "2.0"), ("other", "3.0", "4.0"))
    table = Table(title="t", columns=("", "deferral", "regret"), rows=rows)

    found = table.cut(width)

    assert found.columns == table.columns[:columns]
    assert found.rows == tuple(row[:columns] for row in rows)
    assert found.fits(width) == (width >= 16)
    gone = ", ".join(table.columns[columns:])
    assert found.note == (f"columns left out: {gone}" if gone else "")
    assert replace(table, note="n").cut(1).note == "n; columns left out: regret"


def test_markdown_has_one_rule_for_each_table_and_escapes_bars():
    names = ["main", "a|b", "c"]
    text = report_markdown(deferral_report(some_trial(), agents=names))

    assert text.count("| --- | ---:") == 5
    assert r"a\|b" in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.replace(r"\|", "").count("|") for line in block.splitlines()}) == 1


def test_zero_is_never_shown_with_a_sign():
    costs = np.array([[0.1, 0.2], [0.3, 0.4]])
    report = deferral_report(trial(costs, {"it": [1, 1]}))

    assert "-0.0" not in report_text(report)


def test_json_is_strict_and_tells_what_is_infinite_from_what_is_undefined():
    costs = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    report = deferral_report(trial(costs, {"it": np.array([0, 0, 0])}, seed=7))

    document = json.loads(json.dumps(report_json(report), allow_nan=False))

    assert document["seeds"] == [7]
    assert document["summary"]["it"]["divergence"] == {
        "mean": "inf",
        "half_width": None,
        "count": 1,
        "seeds": 1,
    }
    assert document["summary"]["it"]["accuracy"]["mean"] is None
    assert document["overlap"] == 0
    assert document["methods"][0]["metrics"][0]["recalls"] == [1.0, 0.0]
    assert document["agents"][1]["counts"] == [2]
    assert document["best_agent"] == "agent 1"


def test_a_report_that_cannot_be_written_says_why(tmp_path, report):
    with pytest.raises(StorageError, match="cannot write"):
        write_report(tmp_path / "absent" / "results.json", report)

    write_report(tmp_path / "results.json", report, table="mine.csv")
    assert json.loads((tmp_path / "results.json").read_text())["table"] == "mine.csv"


@pytest.mark.parametrize(
    "shape",
    [
        {"agents": 2, "priced": False},
        {"agents": 2, "judged": False},
        {"agents": 12, "judged": False, "priced": False},
        {"agents": 11, "examples": 3},
    ],
)
@pytest.mark.parametrize("seeds", [1, 2])
def test_figures_are_drawn_for_any_number_of_agents_and_seeds(tmp_path, shape, seeds):
    from assistlearn.deferral.report.figures import write_figures  # noqa: PLC0415

    names = [f"an agent with a long name, number {each}" for each in range(shape["agents"])]
    report = deferral_report([some_trial(seed, **shape) for seed in range(seeds)], agents=names)

    paths = write_figures(tmp_path, report)

    assert [path.name for path in paths] == ["allocation.png", "rates.png", "recall.png"]
    for path in paths:
        with Image.open(path) as image:
            assert min(image.size) > 200
            assert len(image.convert("RGB").getcolors(maxcolors=2**24)) > 20


def test_the_first_methods_point_is_above_all_others_and_hides_none(report):
    from assistlearn.deferral.report.figures import rates  # noqa: PLC0415

    axis, *_ = rates(report).axes

    first, *others = (each.lines[0] for each in axis.containers)
    assert axis.containers[0].get_label() == report.methods[0].name
    assert first.get_zorder() > max(each.get_zorder() for each in others)
    assert first.get_markerfacecolor() == "none"


@pytest.mark.parametrize(("seeds", "drawn"), [(1, False), (2, False), (3, True)])
def test_intervals_are_drawn_and_named_from_three_seeds_on(seeds, drawn):
    from assistlearn.deferral.report.figures import rates  # noqa: PLC0415

    trials = [some_trial(seed) for seed in range(seeds)]
    figure = rates(deferral_report(trials, agents=["0", "1", "2"]))

    bars = [bar for each in figure.axes[0].containers for bar in each.lines[2]]
    lengths = [np.ptp(segment, axis=0).max() for bar in bars for segment in bar.get_segments()]
    assert (max(lengths) > 0) == drawn
    assert ("interval" in figure.get_suptitle()) == drawn


def test_a_report_without_figures_loads_neither_matplotlib_nor_torch():
    code = (
        "import sys, assistlearn.deferral.report;"
        "sys.exit(bool({'matplotlib', 'torch', 'pandas'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


GOOD = np.array([[0.5, 0.2], [0.1, 0.3]])


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (lambda: trial(GOOD, {}), "no method"),
        (lambda: trial(GOOD[:, :1], {"it": [0, 0]}), "one agent only"),
        (lambda: trial(-GOOD, {"it": [0, 0]}), "a cost is -0.5"),
        (lambda: trial(GOOD * np.nan, {"it": [0, 0]}), "not finite in row 1"),
        (lambda: trial(GOOD, {"it": [0, 2]}), "choices of 'it' name agent 2"),
        (lambda: trial(GOOD, {"it": [0, -1]}), "name agent -1"),
        (lambda: trial(GOOD, {"it": [0.0, 1.0]}), "type float64"),
        (lambda: trial(GOOD, {"it": [0]}), "expected 2 numbers of agents"),
        (lambda: trial(GOOD, {"it": Decided(np.zeros((2, 3)))}), "scores of 'it' have shape"),
        (lambda: trial(GOOD, {"it": [0, 0]}, prices=[0, 0.25]), "above the cost"),
        (lambda: trial(GOOD, {"it": [0, 0]}, prices=[0, 0, 0]), "prices have shape"),
        (lambda: trial(GOOD, {"it": [0, 0]}, correct_BA=GOOD), "what is correct has shape"),
        (lambda: trial(GOOD, {"it": [0, 0]}, groups_B=["a"]), "the groups have shape"),
        (lambda: deferral_report([]), "no trials"),
        (lambda: deferral_report([some_trial(), some_trial(agents=4)]), "different agents"),
        (lambda: deferral_report([some_trial(), some_trial(judged=False)]), "one only says"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_hint(refused, said):
    with pytest.raises(DataError, match=said) as caught:
        refused()

    assert caught.value.hint


def test_a_method_called_as_the_reports_own_bound_is_refused():
    with pytest.raises(ConfigError, match="a method is called 'oracle'") as caught:
        trial(GOOD, {"it": [0, 0], "oracle": [0, 1]})

    assert caught.value.hint == "rename it"


@pytest.mark.parametrize("overlap", [-0.1, math.nan, math.inf])
def test_an_overlap_that_is_no_ratio_of_rows_is_refused(overlap):
    for refused in (
        lambda: spread([1.0], overlap=overlap),
        lambda: deferral_report([], overlap=overlap),
    ):
        with pytest.raises(ConfigError, match="the overlap is"):
            refused()


@pytest.mark.parametrize("names", [["a"], ["a", "a", "b"], ["a", "b", "c", "d"]])
def test_names_that_are_not_one_for_each_agent_are_refused(names):
    with pytest.raises(ConfigError, match="for 3 agents"):
        deferral_report(some_trial(), agents=names)
