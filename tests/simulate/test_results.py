"""Means, standard errors, paired differences, and the files they are written to."""

import json
import math

import pytest
from pyarrow import csv
from simulating import made_results, made_round, small_settings

from parties.simulate.outcome import ASSISTED, MethodRun
from parties.simulate.results import Results, Spread, spread, write_csv, write_json


def test_spread_is_mean_and_standard_error():
    found = spread([1.0, 2.0, 6.0])

    assert found.mean == pytest.approx(3.0)
    assert found.error == pytest.approx(math.sqrt(7.0 / 3))
    assert found.count == 3


def test_one_seed_has_no_error_and_no_interval():
    found = spread([0.5])

    assert found.mean == 0.5
    assert math.isnan(found.error)
    assert all(map(math.isnan, found.interval))


def test_an_infinite_value_makes_the_mean_infinite():
    assert spread([1.0, math.inf]).mean == math.inf
    assert math.isnan(spread([1.0, math.inf]).error)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (2, 4.303), (10, 2.228), (30, 2.042), (100, 1.984)]
)
def test_intervals_are_those_of_students_distribution_as_tables_print_it(freedom, quantile):
    low, high = Spread(mean=1.0, error=0.5, count=freedom + 1).interval

    assert (low, high) == pytest.approx((1 - quantile / 2, 1 + quantile / 2), abs=3e-4)


def test_differences_are_paired_by_seed():
    results = made_results(
        {
            ASSISTED: [[0.1, 0.5], [0.1, 0.9]],
            "learner_only": [[0.1, 0.4], [0.1, 0.8]],
        }
    )

    paired = results.difference(ASSISTED, "learner_only", 1, "accuracy")

    assert paired.mean == pytest.approx(0.1)
    assert paired.error == pytest.approx(0.0)
    assert results.spread(ASSISTED, 1, "accuracy").error == pytest.approx(0.2)


def test_costs_add_up_and_the_learner_alone_pays_nothing():
    curve = [[0.1, 0.5, 0.6]]
    results = made_results({ASSISTED: curve, "learner_only": curve})

    assert results.spread(ASSISTED, 2, "bytes").mean == 800
    assert results.spread(ASSISTED, 2, "money").mean == 2 * 5000
    assert results.spread("learner_only", 2, "money").mean == 0
    assert results.spread(ASSISTED, 2, "seconds").mean == 2


def test_a_learner_that_stopped_keeps_its_model_and_pays_no_more():
    full = MethodRun(seed=0, method="fedavg", rounds=tuple(made_round(n, 0.5) for n in range(4)))
    stopped = MethodRun(
        seed=0, method=ASSISTED, rounds=tuple(made_round(n, 0.2 * n) for n in range(3))
    )
    results = Results(settings=small_settings(seeds=[0]), runs=(stopped, full))

    assert results.rounds == 3
    assert results.value(stopped, 3, "accuracy") == pytest.approx(0.4)
    assert results.value(stopped, 3, "money") == 2 * 5000


def test_files_hold_every_round_and_are_strict_json_and_csv(tmp_path):
    run = MethodRun(
        seed=0, method=ASSISTED, rounds=(made_round(0, 0.1), made_round(1, 0.5, loss=math.inf))
    )
    results = Results(settings=small_settings(seeds=[0]), runs=(run,))

    write_json(tmp_path / "r.json", results, scaled="by half")
    write_csv(tmp_path / "r.csv", results)

    document = json.loads((tmp_path / "r.json").read_text(), parse_constant=pytest.fail)
    assert document["scaled"] == "by half"
    assert document["runs"][0]["rounds"][1]["global_loss"] is None
    assert document["summary"]["mean"][ASSISTED]["accuracy"][1]["mean"] == 0.5
    table = csv.read_csv(tmp_path / "r.csv")
    assert table.num_rows == 2
    assert table.column("bytes").to_pylist() == [0, 400]
    assert {"seed", "method", "round", "accuracy", "money"} <= set(table.column_names)
    assert table.column("scale").to_pylist() == [1, 1]


def test_a_step_that_two_processes_do_not_tell_is_said_to_be_missing(tmp_path):
    write_json(tmp_path / "r.json", made_results({ASSISTED: [[0.1, 0.5]]}))

    units = json.loads((tmp_path / "r.json").read_text())["units"]
    assert "not told by two processes" in units["learner_step"]
    assert "two processes" not in units["provider_step"]
