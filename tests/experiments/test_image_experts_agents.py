"""Rare classes for simulated experts: the long tail against its formula."""

import numpy as np
import pytest

from experiments.deferral.image_experts_agents import SETTINGS, Pictures, lesson

EACH = 4000  # images of every class to draw from


@pytest.fixture(scope="module")
def parts():
    """Training and test images whose only feature is their class."""
    labels = np.repeat(np.arange(10), EACH)
    whole = Pictures(features=np.eye(10)[labels], answers=labels, labels=labels)
    return whole, whole


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: each.label)
def test_class_c_by_rank_is_kept_as_often_as_f_to_the_power_of_c_over_9(parts, setting):
    """n_c = n_max f^(c / (C - 1)), as in arXiv:1906.07413's code; f = 1 keeps all."""
    made = lesson(parts, setting, 0)

    wanted = setting.tail ** (np.arange(10) / 9)
    deviation = np.sqrt(EACH * wanted * (1 - wanted))
    for features in (made.features, made.test_features):
        found = np.sort(features.sum(axis=0))[::-1]
        assert (np.abs(found - EACH * wanted) <= 5 * deviation).all()
