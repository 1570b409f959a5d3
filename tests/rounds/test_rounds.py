"""Whole sessions of both machines: what the algorithm promises."""

import dataclasses
import math
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair import Pair, agreement

from assistlearn.errors import PeerProtocolError
from assistlearn.losses import LocalLoss
from protocols.agreement import LossPrecision, Weighting
from protocols.events import Received, RoundResult, Sampled, Scored, Started
from protocols.learner import LearnerMachine
from protocols.messages import Carriage, CheckpointMessage, CloseReason, TrajectoryClosed
from protocols.provider import ProviderMachine, ProviderState
from protocols.roles import Role
from protocols.sampling import Sampling
from protocols.selection import Criterion, select_checkpoint

seeds = st.integers(0, 10**9)
weightings = st.sampled_from(Weighting)
samplings = st.sampled_from(Sampling)
LONG = {"learner_steps": 11, "provider_steps": 17, "sampling_period": 1}
"""Local trainings in which the strategies sample different steps."""


def hidden(weighting: Weighting) -> dict[str, object]:
    """Changes to the agreement that go with a weighting."""
    counts = {} if weighting is Weighting.SAMPLES else {"learner_samples": 0, "provider_samples": 0}
    return {"weighting": weighting, **counts}


@given(seeds, weightings, samplings, st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=150, deadline=None)
def test_global_loss_never_rises_from_one_round_to_the_next(seed, weighting, sampling, diverges):
    terms = agreement(rounds=5, sampling=sampling, **hidden(weighting), **LONG)
    pair = Pair(terms, seed=seed, diverges=diverges).run()

    losses = [result.global_loss for result in pair.learner.results]

    assert len(losses) == 5
    assert all(later <= earlier for earlier, later in pairwise(losses))
    assert pair.learner.best.global_loss == losses[-1]


@given(seeds, weightings, samplings)
@settings(max_examples=100, deadline=None)
def test_each_choice_equals_a_brute_force_search_over_all_reported_models(
    seed, weighting, sampling
):
    pair = Pair(agreement(sampling=sampling, **hidden(weighting), **LONG), seed=seed).run()

    for number, result in enumerate(pair.learner.results, 1):
        for role, chosen in (
            (Role.LEARNER, result.provider_choice),
            (Role.PROVIDER, result.digest),
        ):
            candidates = [
                m.digest
                for m in pair.sent[role]
                if isinstance(m, CheckpointMessage) and m.round == number
            ]
            best, best_loss = "", math.inf
            for name in candidates:
                learner, provider = (pair.worlds[r].loss(name) for r in Role)
                loss = (learner.total + provider.total) / 50
                if weighting is Weighting.PARTIES:
                    loss = learner.total / 10 + provider.total / 40
                if loss < best_loss:
                    best, best_loss = name, loss
            assert chosen == best


@given(seeds, weightings, st.sampled_from(LossPrecision))
@settings(max_examples=100, deadline=None)
def test_early_stopping_of_scoring_never_changes_a_winner(seed, weighting, precision):
    terms = agreement(loss_precision=precision, loss_noise="0.1", **hidden(weighting))
    quick = Pair(terms, seed=seed, stop_early=True).run()
    full = Pair(terms, seed=seed, stop_early=False).run()

    assert quick.learner.results == full.learner.results
    assert quick.sent == full.sent
    assert quick.worlds[Role.PROVIDER].examined <= full.worlds[Role.PROVIDER].examined


@given(seeds, weightings)
@settings(max_examples=100, deadline=None)
def test_both_parties_compute_the_same_winner_from_the_same_losses(seed, weighting):
    terms = agreement(**hidden(weighting))
    pair = Pair(terms, seed=seed)
    names = [f"model {i}" for i in range(8)]

    winners = []
    for role, count in ((Role.LEARNER, 10), (Role.PROVIDER, 40)):
        criterion = Criterion.of(terms, role, own_samples=count)
        peer_count = 50 - count
        peer = Criterion.of(terms, role.peer, own_samples=peer_count)
        losses = tuple(
            criterion.global_loss(
                pair.worlds[role].loss(n).total,
                peer.report(pair.worlds[role.peer].loss(n), start=False, noise=0.0),
            )
            for n in names
        )
        winners.append((losses, select_checkpoint(losses)))

    assert winners[0] == winners[1]


@pytest.mark.parametrize(
    ("sampling", "steps"),
    [(Sampling.EVEN, [*range(12)]), (Sampling.DOUBLING, [0, 1, 2, 4, 8, 11])],
)
def test_the_steps_of_the_agreed_strategy_and_no_others_are_sent(sampling, steps):
    pair = Pair(agreement(sampling=sampling, **LONG), seed=1).run()

    for number in (1, 2, 3):
        sent = [
            m.step
            for m in pair.sent[Role.LEARNER]
            if isinstance(m, CheckpointMessage) and m.round == number
        ]
        assert sent == steps


def test_a_party_that_samples_by_another_strategy_than_agreed_is_refused():
    pair = Pair(agreement(sampling=Sampling.EVEN, **LONG), seed=1).run()
    strict = agreement(sampling=Sampling.DOUBLING, **LONG)
    machine = ProviderMachine(strict, own_samples=40)

    with pytest.raises(PeerProtocolError, match="step 3 where step 4 comes next"):
        feed(machine, pair.sent[Role.LEARNER], pair)


def test_step_0_travels_by_digest_once_the_peer_holds_it():
    pair = Pair(agreement(), seed=1).run()

    for role in Role:
        starts = [m for m in pair.sent[role] if isinstance(m, CheckpointMessage) and m.step == 0]
        first = Carriage.ATTACHED if role is Role.LEARNER else Carriage.HELD
        assert [m.carriage for m in starts] == [first, Carriage.HELD, Carriage.HELD]


def test_private_losses_never_report_a_model_that_the_peer_chose():
    terms = agreement(loss_precision=LossPrecision.PRIVATE, loss_noise="0.05")
    pair = Pair(terms, seed=2).run()

    messages = [m for r in Role for m in pair.sent[r] if isinstance(m, CheckpointMessage)]
    assert all(m.loss is None for m in messages if m.step == 0)
    assert all(isinstance(m.loss, int) and 0 <= m.loss <= 255 for m in messages if m.step > 0)
    assert all(result.step > 0 for result in pair.learner.results)


@pytest.mark.parametrize("precision", LossPrecision)
def test_a_model_that_training_leaves_as_it_came_is_not_reported_privately(precision):
    terms = agreement(loss_precision=precision, loss_noise="0.1")
    machine = LearnerMachine(terms, own_samples=10)
    loss = LocalLoss(total=5.0, clipped=5.0, count=10)
    machine.handle(Started(digest="a" * 64, loss=loss))

    same, moved = (
        machine.handle(Sampled(step=step, digest=name * 64, loss=loss, noise=0.3))[0]
        for step, name in [(2, "a"), (4, "b")]
    )

    assert same.carriage is Carriage.ATTACHED
    assert (same.loss is None) == (precision is LossPrecision.PRIVATE)
    assert moved.loss is not None


def test_private_result_is_the_best_of_all_rounds_though_the_last_may_be_worse():
    terms = agreement(loss_precision=LossPrecision.PRIVATE, loss_noise="0.3", rounds=6)
    pairs = [Pair(terms, seed=seed).run() for seed in range(20)]

    assert any(p.learner.best.round < 6 for p in pairs)
    assert all(
        p.learner.best.global_loss == min(r.global_loss for r in p.learner.results) for p in pairs
    )


def test_rounds_stop_when_the_budget_is_spent():
    pair = Pair(agreement(rounds=9, price=300, budget=700), seed=3).run()

    assert len(pair.learner.results) == 2
    assert pair.sent[Role.LEARNER][-1].reason is CloseReason.COMPLETED


def test_rounds_stop_when_the_last_one_gained_too_little():
    pair = Pair(agreement(rounds=9), seed=4, minimum_gain=1e9).run()

    assert len(pair.learner.results) == 2
    assert pair.sent[Role.LEARNER][-1].reason is CloseReason.STOPPED


@pytest.mark.parametrize(
    ("losses", "stops"),
    [([math.inf], True), ([1.0, math.inf], True), ([math.inf, 1.0], False), ([1.0, 0.2], False)],
)
def test_rounds_stop_when_no_finite_loss_shows_what_was_gained(losses, stops):
    machine = LearnerMachine(agreement(rounds=9), own_samples=10, minimum_gain=0.5)
    machine.results = [
        RoundResult(round=n, digest="", global_loss=loss, provider_choice="", step=0)
        for n, loss in enumerate(losses, start=1)
    ]

    assert machine._reason_to_stop() == (CloseReason.STOPPED if stops else None)


def test_provider_learns_which_model_is_kept():
    pair = Pair(agreement(), seed=5).run()

    assert pair.provider.done
    assert pair.provider.result == pair.learner.best.digest


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_a_machine_fed_its_events_again_is_the_same_machine(seed):
    pair = Pair(agreement(), seed=seed, diverges=0.2).run()

    for role, fresh in (
        (Role.LEARNER, LearnerMachine(pair.terms, own_samples=10)),
        (Role.PROVIDER, ProviderMachine(pair.terms, own_samples=40)),
    ):
        said = [m for event in pair.events[role] for m in fresh.handle(event)]
        assert said == pair.sent[role]
        assert fresh.needed == pair.machine(role).needed
        assert fresh.done


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_missing_added_repeated_or_reordered_checkpoints_are_refused(seed):
    rng = random.Random(seed)
    pair = Pair(agreement(), seed=seed).run()
    honest = [m for m in pair.sent[Role.LEARNER] if m.round == 1]
    kind = rng.choice(["missing", "repeated", "swapped", "added"])
    forged = list(honest)
    place = rng.randrange(len(honest) - 1)
    if kind == "missing":
        del forged[place]
    elif kind == "repeated":
        forged.insert(place, honest[place])
    elif kind == "swapped":
        forged[place], forged[place + 1] = forged[place + 1], forged[place]
    else:
        extra = CheckpointMessage(
            round=1,
            step=rng.choice([1, 3, 5]),
            carriage=Carriage.ATTACHED,
            digest="a" * 64,
            loss=0.0,
        )
        forged.insert(place + 1, extra)

    machine = ProviderMachine(pair.terms, own_samples=40)
    with pytest.raises(PeerProtocolError):
        feed(machine, forged, pair)


def test_a_closing_that_tells_another_story_than_its_checkpoints_is_refused():
    pair = Pair(agreement(), seed=6).run()
    honest = [m for m in pair.sent[Role.LEARNER] if m.round == 1]
    *checkpoints, closing = honest
    assert isinstance(closing, TrajectoryClosed)

    stories = [closing.checkpoints[:-1], closing.checkpoints[::-1]]
    first, *rest = closing.checkpoints
    better = CheckpointMessage(
        round=1, step=first.step, carriage=first.carriage, digest=first.digest, loss=0.0
    )
    stories.append((better, *rest))
    for story in stories:
        machine = ProviderMachine(pair.terms, own_samples=40)
        with pytest.raises(PeerProtocolError, match="closed a trajectory"):
            feed(machine, [*checkpoints, TrajectoryClosed(round=1, checkpoints=story)], pair)


@pytest.mark.parametrize(
    ("precision", "told", "retold"),
    [
        (LossPrecision.COARSE, 200, 200.0),
        (LossPrecision.COARSE, 0, -0.0),
        (LossPrecision.EXACT, 0.0, -0.0),
        (LossPrecision.EXACT, 3.0, 3),
    ],
)
def test_a_closing_that_only_python_takes_for_equal_is_refused(precision, told, retold):
    machine = ProviderMachine(agreement(loss_precision=precision, learner_steps=2), own_samples=40)
    loss = LocalLoss(total=1.0, clipped=1.0, count=40)
    messages = [
        CheckpointMessage(
            round=1, step=step, carriage=Carriage.ATTACHED, digest=name * 64, loss=told
        )
        for step, name in [(0, "a"), (2, "b")]
    ]
    for message in messages:
        machine.handle(Received(message=message))
        if machine.work is not None:
            machine.handle(Scored(digest=machine.work.digest, loss=loss))
    other = dataclasses.replace(messages[1], loss=retold)

    with pytest.raises(PeerProtocolError, match="closed a trajectory"):
        machine.handle(
            Received(message=TrajectoryClosed(round=1, checkpoints=(messages[0], other)))
        )
    machine.handle(Received(message=TrajectoryClosed(round=1, checkpoints=tuple(messages))))
    assert machine.state is ProviderState.TRAINING


def feed(machine: ProviderMachine, messages: list, pair: Pair) -> None:
    """Play the learner's ``messages`` to a provider that scores honestly."""
    for message in messages:
        machine.handle(Received(message=message))
        while machine.work is not None and not machine.rounds_provided:
            work = machine.work
            world, criterion = pair.worlds[Role.PROVIDER], pair.criteria[Role.PROVIDER]
            machine.handle(
                world.train(work)
                if hasattr(work, "start")
                else world.score(work, criterion, stop_early=True)
            )
