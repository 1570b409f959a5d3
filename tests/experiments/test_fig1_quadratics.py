"""The two quadratics: sessions against a naive loop and a closed form, and what they show."""

import json
from itertools import pairwise
from math import dist

import numpy as np
import pytest
from matplotlib.image import imread

from experiments.fig1_quadratics import (
    BASELINES,
    GRADIENT,
    NORMALISED,
    OPTIMA,
    ORACLE,
    READINGS,
    START,
    Findings,
    distances,
    draw,
    plain,
    play,
    simulation,
)
from protocols.roles import Role


@pytest.fixture(scope="module")
def sessions():
    return {name: play(simulation(normalised=way), 0) for name, way in READINGS.items()}


def naive(start, *, normalised, rounds=10, steps=10):
    """Results of all rounds: every model in turn, the nearest to the oracle wins, ties early."""
    result, results = np.array(start), []
    for round_ in range(1, rounds + 1):
        for optimum in OPTIMA.values():
            models = [result]
            for _ in range(steps):
                gradient = models[-1] - np.array(optimum)
                length = np.linalg.norm(gradient) if normalised else 1.0
                models.append(models[-1] - 0.9**round_ * gradient / length)
            losses = [sum(dist(each, a) ** 2 for a in OPTIMA.values()) for each in models]
            result = models[int(np.argmin(losses))]
        results.append(result)
    return results


@pytest.mark.parametrize("reading", READINGS)
def test_a_session_of_the_real_machines_is_what_a_naive_loop_computes(sessions, reading):
    expected = naive(START, normalised=READINGS[reading])

    results = [each.phases[Role.PROVIDER].choice for each in sessions[reading]]

    np.testing.assert_allclose(results, expected, atol=1e-5)


def test_distance_to_the_oracle_falls_as_the_digits_of_the_reading_say(sessions):
    found = [each.distance for each in sessions[GRADIENT]]

    expected = [0.81, 0.66, 0.56, 0.47, 0.40, 0.35, 0.30, 0.26, 0.23, 0.20]
    np.testing.assert_allclose(found, expected, atol=0.006)


def test_from_an_own_optimum_the_distance_follows_a_closed_form():
    """On the line through both optima one update over the oracle wins in every round.

    At offset u (in distances of the optima) an update of size eta towards the far optimum leads
    to eta / 2 - (1 - eta) u on the other side.
    """
    offset, expected = 0.5, []
    for round_ in range(1, 6):
        offset = abs(0.9**round_ / 2 - (1 - 0.9**round_) * offset)
        expected.append(offset * dist(*OPTIMA.values()))

    rounds = play(simulation(start=OPTIMA[Role.LEARNER], rounds=5), 0)

    assert [each.distance for each in rounds] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("reading", READINGS)
def test_no_hand_over_raises_the_global_loss(sessions, reading):
    handed_over = [phase.choice for each in sessions[reading] for phase in each.phases.values()]

    losses = [sum(dist(each, a) ** 2 for a in OPTIMA.values()) for each in [START, *handed_over]]

    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(losses))
    results = [each.global_loss for each in sessions[reading]]
    assert all(later <= earlier for earlier, later in pairwise(results))


def test_recorded_trajectories_hang_together_from_a_random_start():
    rounds = play(simulation(start=None, rounds=2), 5)

    at = rounds[0].phases[Role.LEARNER].models[0]
    assert at != START
    for number, each in enumerate(rounds, 1):
        for role, phase in each.phases.items():
            assert phase.models[0] == at
            for before, after in pairwise(phase.models):
                step = 0.9**number * (np.array(OPTIMA[role]) - before)
                np.testing.assert_allclose(after, before + step, atol=1e-5)
            at = phase.choice
        assert each.distance == pytest.approx(dist(at, ORACLE), abs=1e-6)


def test_results_jump_from_one_side_of_the_oracle_to_the_other(sessions):
    across = [each.phases[Role.PROVIDER].choice[0] for each in sessions[GRADIENT]]

    assert all(earlier * later < 0 for earlier, later in pairwise(across))


def test_updates_of_unit_length_never_leave_the_result_of_the_first_round(sessions):
    found = [each.distance for each in sessions[NORMALISED]]

    assert found == [pytest.approx(0.219, abs=5e-4)] * 10
    assert all(
        phase.step == 0 for each in sessions[NORMALISED][1:] for phase in each.phases.values()
    )


def test_a_start_nearer_to_the_oracle_than_any_update_leads_is_never_left():
    rounds = play(simulation(start=(0.05, -0.8), rounds=4), 0)

    assert {phase.step for each in rounds for phase in each.phases.values()} == {0}


def test_without_selection_the_result_is_the_last_party_s_own_optimum_and_an_average_the_oracle():
    settings = simulation(rounds=3)

    last = distances(settings, "sequential_last")
    averaged = distances(settings, "fedavg")

    assert last == pytest.approx([dist(OPTIMA[Role.PROVIDER], ORACLE)] * 3, abs=1e-3)
    assert averaged == pytest.approx([0.0] * 3, abs=1e-6)


def test_a_session_is_drawn_in_a_small_file_and_written_as_plain_values(sessions, tmp_path):
    ends = {name: tuple(each.distance for each in rounds) for name, rounds in sessions.items()}
    findings = Findings(
        drawn=sessions,
        random={name: (each, each) for name, each in ends.items()},
        baselines=dict.fromkeys(BASELINES, ends[GRADIENT]),
    )

    draw(tmp_path / "figure.png", findings)
    document = json.loads(json.dumps(plain(findings)))

    assert (tmp_path / "figure.png").stat().st_size < 150_000
    assert imread(tmp_path / "figure.png").shape[1] > 1000
    assert [each["distance"] for each in document["readings"][GRADIENT]["rounds"]] == list(
        ends[GRADIENT]
    )
