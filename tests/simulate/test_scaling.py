"""Scaled-down studies say so."""

import pytest
from simulating import small_settings

from assistlearn.errors import ConfigError
from parties.simulate.scaling import scaled_down


def test_scaling_shrinks_the_work_and_names_every_change():
    settings = small_settings(rounds=10, total_steps=200, sampling_period=50)

    smaller, said = scaled_down(settings, 0.1)

    assert (smaller.terms.rounds, smaller.terms.total_steps) == (1, 20)
    assert smaller.terms.sampling_period == 5
    assert "rounds 1 for 10" in said
    assert "not the study's figures" in said


def test_scale_1_changes_nothing_and_says_nothing():
    settings = small_settings()

    assert scaled_down(settings, 1.0) == (settings, "")


def test_nothing_is_scaled_below_one_update_a_party():
    smaller, _ = scaled_down(small_settings(), 1e-6)

    assert (smaller.terms.rounds, smaller.terms.total_steps) == (1, 2)


@pytest.mark.parametrize("factor", [0, -1, 1.5])
def test_other_factors_are_refused(factor):
    with pytest.raises(ConfigError, match="the scale is"):
        scaled_down(small_settings(), factor)
