"""What ``doctor`` says of how far apart the checkpoints of a round lie."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.checkup import ADVISED_EXAMPLES, privacy
from parties.settings import TermsSettings
from protocols.roles import Role
from protocols.sampling import Sampling


def told(examples, role=Role.LEARNER, **terms):
    """The one check of a party that sees so many examples in an update."""
    settings = TermsSettings(task="toy", **terms)
    (found,) = privacy(settings.terms(), role, examples=examples)
    return found


@pytest.mark.parametrize("sampling", Sampling)
def test_a_short_last_gap_is_warned_of_though_the_period_is_long_enough(sampling):
    found = told(
        20, learner_steps=110, provider_steps=100, sampling_period=50, sampling=sampling.value
    )

    assert found.state == "warning"
    assert found.detail.startswith("200 examples between the last two checkpoints of a round")
    assert "multiple of terms.sampling_period" in found.hint


def test_the_other_partys_short_last_gap_is_not_ours():
    found = told(20, Role.PROVIDER, learner_steps=110, provider_steps=100, sampling_period=50)

    assert found.state == "ok"
    assert found.detail == "1,000 examples between two checkpoints"


def test_a_last_update_that_is_not_sent_makes_no_short_gap():
    found = told(20, learner_steps=110, provider_steps=100, sampling_period=50, include_last=False)

    assert found.state == "ok"


def test_a_short_period_is_warned_of_with_another_remedy():
    found = told(10, learner_steps=100, provider_steps=100, sampling_period=50)

    assert found.state == "warning"
    assert found.detail.startswith("500 examples between two checkpoints, at least 1,000")
    assert "raise terms.sampling_period" in found.hint


def test_where_the_peers_data_decide_on_the_updates_the_last_gap_is_said_to_be_unknown():
    found = told(64, total_steps=400, sampling_period=50)

    assert found.state == "ok"
    assert found.detail == (
        "3,200 examples between two checkpoints (between the last two of a round perhaps fewer,"
        " but 64 at least)"
    )


def test_one_checkpoint_alone_has_no_neighbour():
    settings = TermsSettings(
        task="toy", learner_steps=10, provider_steps=10, sampling_period=50, include_last=False
    )

    assert not list(privacy(settings.terms(), Role.LEARNER, examples=1))


@given(
    steps=st.integers(1, 300),
    period=st.integers(1, 80),
    examples=st.integers(1, 100),
    sampling=st.sampled_from(Sampling),
)
def test_the_number_is_that_of_the_two_nearest_checkpoints(steps, period, examples, sampling):
    terms = {"sampling_period": period, "sampling": sampling.value}
    settings = TermsSettings(task="toy", learner_steps=steps, provider_steps=1, **terms)

    found = told(examples, learner_steps=steps, provider_steps=1, **terms)

    grid = settings.terms().grid(steps)
    fewest = examples * min(after - before for before, after in pairwise(grid))
    assert found.detail.startswith(f"{fewest:,} examples between")
    assert (found.state == "warning") == (fewest < ADVISED_EXAMPLES)
