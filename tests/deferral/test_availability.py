"""Who answers when agents cannot be had."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from assistlearn.deferral.availability import Reason, answers
from assistlearn.deferral.budgets import Threshold, answers_above
from assistlearn.errors import DataError

SHAPE = (6, 4)


@given(
    hnp.arrays(np.float64, SHAPE, elements=st.integers(-2, 2).map(float)),
    hnp.arrays(np.bool_, SHAPE),
)
def test_the_answer_is_what_a_loop_over_available_agents_finds(scores, available):
    found = answers(scores, available)

    for row in range(len(scores)):
        best, best_score = 0, -math.inf
        for agent in range(scores.shape[1]):
            if available[row, agent] and scores[row, agent] > best_score:
                best, best_score = agent, scores[row, agent]
        asked = int(np.argmax(scores[row]))
        assert found.asked[row] == asked
        assert found.answered[row] == best
        assert (found.reasons[row] in {Reason.KEPT, Reason.DEFERRED}) == (asked == best)


@given(hnp.arrays(np.float64, SHAPE, elements=st.integers(-2, 2).map(float)))
def test_nothing_changes_where_everybody_can_be_had(scores):
    found = answers(scores, np.ones(SHAPE, dtype=bool))

    assert (found.agents == found.asked).all()
    assert (found.asked == scores.argmax(axis=1)).all()


def test_every_reason_is_told_in_words():
    scores = [[2.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 2.0, 1.0], [0.0, 2.0, 1.0]]
    available = [[True] * 3, [True] * 3, [True, False, True], [False] * 3]
    names = ("clinic", "small", "large")

    found = answers(scores, np.array(available))

    assert found.answered.tolist() == [0, 1, 2, 0]
    assert [found.explained(row, names) for row in range(4)] == [
        "clinic answers itself",
        "small was asked and answers",
        "small cannot be had, large is next best and answers",
        "neither small nor any other can be had, clinic answers",
    ]


def test_what_a_threshold_keeps_is_told_in_words():
    found = answers_above([[0.5, 0.4]], Threshold(value=0.2))

    assert found.reasons == (Reason.BELOW_THRESHOLD,)
    assert found.explained(0, ("clinic", "lab")) == (
        "clinic answers itself, as asking would save too little"
    )


def test_one_mask_serves_all_examples():
    found = answers([[0.0, 1.0], [1.0, 0.0]], np.array([True, False]))

    assert found.answered.tolist() == [0, 0]
    assert found.reasons == (Reason.NEXT_BEST, Reason.KEPT)


@pytest.mark.parametrize("mask", [np.ones((2, 3), bool), np.ones((3, 2), bool), np.ones((2, 2))])
def test_a_mask_that_does_not_fit_is_refused(mask):
    with pytest.raises(DataError, match="mask of available agents"):
        answers([[0.0, 1.0], [1.0, 0.0]], mask)
