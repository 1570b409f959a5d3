"""Grids, reports and the choice itself, against slow and obvious loops."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pair import agreement

from assistlearn.errors import LocalProtocolError, PeerProtocolError
from assistlearn.losses import LocalLoss
from protocols.agreement import LossPrecision, Weighting
from protocols.events import Scored
from protocols.messages import Carriage, CheckpointMessage
from protocols.roles import Role
from protocols.sampling import MAX_CHECKPOINTS, Sampling, sampled_steps, split_steps
from protocols.selection import Criterion, select_checkpoint
from protocols.trajectory import IncomingTrajectory


@given(st.integers(1, 300), st.integers(1, 60), st.booleans())
def test_the_grid_is_what_a_loop_over_all_steps_collects(steps, period, include_last):
    expected = [step for step in range(steps) if step % period == 0]
    if include_last:
        expected.append(steps)

    assert list(sampled_steps(steps, period, include_last=include_last)) == expected


@given(st.integers(1, 300), st.integers(1, 60), st.booleans())
def test_the_doubling_grid_is_what_a_loop_that_doubles_collects(steps, period, include_last):
    expected, step = [0], period
    while step < steps:
        expected.append(step)
        step *= 2
    if include_last:
        expected.append(steps)

    found = sampled_steps(steps, period, sampling=Sampling.DOUBLING, include_last=include_last)

    assert list(found) == expected


@given(st.integers(1, 3000), st.integers(1, 300))
def test_grids_have_as_many_steps_as_the_specification_says(steps, period):
    even, doubling = (sampled_steps(steps, period, sampling=each) for each in Sampling)

    assert len(even) == math.ceil(steps / period) + 1
    # a quotient that is a power of two is exact, and so is its logarithm
    assert len(doubling) == math.ceil(math.log2(max(steps / period, 1))) + 2


@given(st.integers(1, 3000), st.integers(1, 300), st.booleans())
def test_doubling_samples_some_of_the_even_steps_and_no_others(steps, period, include_last):
    even, doubling = (
        set(sampled_steps(steps, period, sampling=each, include_last=include_last))
        for each in Sampling
    )

    assert doubling <= even


def test_a_grid_as_long_as_a_trajectory_may_be_is_made_and_one_step_more_is_refused():
    assert len(sampled_steps(MAX_CHECKPOINTS - 1, 1)) == MAX_CHECKPOINTS

    with pytest.raises(LocalProtocolError, match="more than 4096 checkpoints") as caught:
        sampled_steps(MAX_CHECKPOINTS, 1)

    assert "sampling" in caught.value.hint
    assert len(sampled_steps(MAX_CHECKPOINTS, 1, include_last=False)) == MAX_CHECKPOINTS
    assert len(sampled_steps(10**17, 1, sampling=Sampling.DOUBLING)) == 59


@given(st.integers(2, 10**6), st.integers(1, 10**9), st.integers(1, 10**9))
def test_shared_steps_add_up_and_nobody_gets_none(total, learner, provider):
    steps = split_steps(total, learner, provider)

    assert sum(steps) == total
    assert min(steps) >= 1
    exact = total * learner / (learner + provider)
    assert abs(steps[0] - min(max(exact, 1), total - 1)) <= 0.5 + 1e-6 * total


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, math.inf, math.nan]), min_size=1, max_size=9))
def test_ties_go_to_the_earliest_and_what_is_not_finite_never_wins(losses):
    best, best_loss = 0, math.inf
    for index, loss in enumerate(losses):
        if math.isfinite(loss) and loss < best_loss:
            best, best_loss = index, loss

    assert select_checkpoint(tuple(losses)) == best


def test_sums_and_means_choose_differently_when_one_party_has_little_data():
    """A learner with 10 samples of one class must not outvote a provider with 1,000."""
    models = [(10 * 0.1, 1000 * 1.0), (10 * 0.9, 1000 * 0.9)]
    by_weighting = {}
    for weighting, counts in (
        (Weighting.SAMPLES, {"learner_samples": 10, "provider_samples": 1000}),
        (Weighting.PARTIES, {"learner_samples": 0, "provider_samples": 0}),
    ):
        terms = agreement(weighting=weighting, **counts)
        criterion = Criterion.of(terms, Role.LEARNER, own_samples=10)
        peer = Criterion.of(terms, Role.PROVIDER, own_samples=1000)
        losses = [
            criterion.global_loss(
                own, peer.report(LocalLoss(total=p, clipped=p, count=1000), start=False, noise=0.0)
            )
            for own, p in models
        ]
        by_weighting[weighting] = select_checkpoint(tuple(losses))

    assert by_weighting == {Weighting.SAMPLES: 1, Weighting.PARTIES: 0}


@given(
    st.lists(st.floats(0, 1e6), min_size=10, max_size=10),
    st.floats(0, 1e8),
    st.sampled_from(Weighting),
)
def test_a_partial_sum_never_gives_more_than_the_whole(examples, report, weighting):
    counts = {} if weighting is Weighting.SAMPLES else {"learner_samples": 0, "provider_samples": 0}
    terms = agreement(weighting=weighting, **counts)
    criterion = Criterion.of(terms, Role.LEARNER, own_samples=10)
    total, partial_losses = 0.0, []
    for example in examples:
        total += example
        partial_losses.append(criterion.global_loss(total, report))

    assert partial_losses == sorted(partial_losses)


@given(
    st.lists(st.floats(0, 1e6), min_size=10, max_size=10),
    st.tuples(st.just(LossPrecision.EXACT), st.none() | st.floats(0, 1e8))
    | st.tuples(st.just(LossPrecision.COARSE), st.none() | st.integers(0, 255)),
    st.integers(0, 10) | st.floats(0, 1e6) | st.just(math.inf),
    st.sampled_from(Weighting),
)
def test_what_is_given_up_early_would_have_lost_and_what_is_not_given_up_wins(
    examples, told, rival, weighting
):
    precision, report = told
    counts = {} if weighting is Weighting.SAMPLES else {"learner_samples": 0, "provider_samples": 0}
    terms = agreement(weighting=weighting, loss_precision=precision, **counts)
    criterion = Criterion.of(terms, Role.LEARNER, own_samples=10)
    partials = [0.0]
    for example in examples:
        partials.append(partials[-1] + example)
    # a rival that is as good as part of this one, or as the whole, makes ties
    best = criterion.global_loss(partials[rival], report) if isinstance(rival, int) else rival

    given_up = [criterion.cannot_win(report, best=best, own_partial=each) for each in partials]

    loses = select_checkpoint((best, criterion.global_loss(partials[-1], report))) == 0
    assert given_up == sorted(given_up)
    assert given_up[-1] == loses
    assert given_up[0] == criterion.cannot_win(report, best=best)


@given(st.floats(0, 50), st.integers(1, 1000))
def test_a_coarse_report_is_within_half_a_level_of_the_clipped_mean(mean, count):
    terms = agreement(loss_precision=LossPrecision.COARSE, learner_samples=count)
    criterion = Criterion.of(terms, Role.LEARNER, own_samples=count)
    clipped = min(mean, 4.0) * count
    loss = LocalLoss(total=max(mean * count, clipped), clipped=clipped, count=count)

    level = criterion.report(loss, start=False, noise=0.0)

    assert isinstance(level, int)
    assert 0 <= level <= 255
    assert abs(level / 255 * 4.0 - min(mean, 4.0)) <= 4.0 / 510 + 1e-9


@given(st.integers(0, 255), st.lists(st.floats(-0.49, 0.49), min_size=2, max_size=2), st.floats())
def test_a_private_report_follows_from_the_level_and_its_noise_alone(level, offsets, noise):
    """However finely a peer moves a model within a level, it hears the same number."""
    assume(math.isfinite(noise))
    terms = agreement(loss_precision=LossPrecision.PRIVATE, loss_noise="0.1")
    criterion = Criterion.of(terms, Role.LEARNER, own_samples=10)
    sums = [10 * 4.0 * min(max(level + offset, 0), 255) / 255 for offset in offsets]
    losses = [LocalLoss(total=each, clipped=each, count=10) for each in sums]

    told = [criterion.report(loss, start=False, noise=noise) for loss in losses]

    assert [loss.level(4.0) for loss in losses] == [level, level]
    exact = level + 0.1 * noise * 255 / 4.0
    assert told[0] == told[1]
    assert abs(told[0] - min(max(exact, 0.0), 255.0)) <= 0.5 + 1e-6
    assert criterion.report(losses[0], start=True, noise=noise) is None


def test_eight_bits_cannot_carry_the_labels_that_one_exact_loss_gives_away():
    """The label attack: logit gaps of 2**i make every subset of labels a different sum."""
    labels = [1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1, 0]
    gaps = [2.0**i * 1e-3 for i in range(len(labels))]

    def sums(chosen: list[int]) -> float:
        return sum(gap for gap, label in zip(gaps, chosen, strict=True) if label)

    exact = Criterion.of(agreement(learner_samples=20), Role.LEARNER, own_samples=20)
    coarse = Criterion.of(
        agreement(learner_samples=20, loss_precision=LossPrecision.COARSE),
        Role.LEARNER,
        own_samples=20,
    )

    def loss(chosen: list[int]) -> LocalLoss:
        clipped = sum(min(gap, 4.0) for gap, label in zip(gaps, chosen, strict=True) if label)
        return LocalLoss(total=sums(chosen), clipped=clipped, count=20)

    told = round(exact.report(loss(labels), start=True, noise=0.0) / 1e-3)
    assert [told >> i & 1 for i in range(20)] == labels
    for hidden in range(4):  # labels that the level says nothing about
        other = [*labels]
        other[hidden] ^= 1
        level = coarse.report(loss(labels), start=True, noise=0.0)
        assert coarse.report(loss(other), start=True, noise=0.0) == level


@pytest.mark.parametrize(
    ("precision", "report", "step"),
    [
        (LossPrecision.EXACT, 3, 1),
        (LossPrecision.EXACT, -0.5, 1),
        (LossPrecision.EXACT, math.inf, 1),
        (LossPrecision.COARSE, 0.5, 1),
        (LossPrecision.COARSE, 256, 1),
        (LossPrecision.PRIVATE, 12, 0),
    ],
)
def test_a_report_of_another_kind_than_agreed_is_refused(precision, report, step):
    criterion = Criterion.of(agreement(loss_precision=precision), Role.LEARNER, own_samples=10)

    with pytest.raises(PeerProtocolError, match="do not allow"):
        criterion.check_report(report, step=step)


def test_a_loss_over_other_data_than_agreed_is_refused():
    criterion = Criterion.of(agreement(), Role.LEARNER, own_samples=10)

    with pytest.raises(LocalProtocolError, match="over 9 samples"):
        criterion.report(LocalLoss(total=1.0, clipped=1.0, count=9), start=False, noise=0.0)


def test_a_checkpoint_scored_on_other_data_than_before_is_refused():
    criterion = Criterion.of(agreement(), Role.PROVIDER, own_samples=40)
    trajectory = IncomingTrajectory(round_=1, grid=(0, 2), held=None, known={}, criterion=criterion)
    trajectory.receive(
        CheckpointMessage(round=1, step=0, carriage=Carriage.ATTACHED, digest="ab" * 32, loss=1.0)
    )

    with pytest.raises(LocalProtocolError, match="over 39 samples"):
        trajectory.score(Scored(digest="ab" * 32, loss=LocalLoss(total=1.0, clipped=1.0, count=39)))
    assert trajectory.work() is not None
