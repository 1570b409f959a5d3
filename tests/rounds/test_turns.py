"""Every illegal pair of state and event, read from the tables."""

from itertools import product

import pytest
from pair import agreement

from assistlearn.errors import ProtocolError
from assistlearn.losses import LocalLoss
from protocols import learner, provider
from protocols.events import Received, Sampled, Scored, Started
from protocols.messages import Carriage, CheckpointMessage

LOSS = LocalLoss(total=1.0, clipped=1.0, count=10)
NAME = "ab" * 32
EVENTS = [
    Started(digest=NAME, loss=LOSS),
    Sampled(step=2, digest=NAME, loss=LOSS, noise=0.0),
    Scored(digest=NAME, loss=LOSS),
    Received(
        message=CheckpointMessage(
            round=1, step=0, carriage=Carriage.ATTACHED, digest=NAME, loss=1.0
        )
    ),
]


def illegal(module, state):
    return [event for event in EVENTS if type(event) not in module.TRANSITIONS[state]]


@pytest.mark.parametrize(
    ("state", "event"),
    [(s, e) for s, e in product(learner.LearnerState, EVENTS) if e in illegal(learner, s)],
    ids=lambda value: getattr(value, "name", type(value).__name__),
)
def test_learner_refuses_an_event_out_of_turn_and_does_not_change(state, event):
    machine = learner.LearnerMachine(agreement(), own_samples=10)
    machine.state = state

    with pytest.raises(ProtocolError):
        machine.handle(event)

    assert machine.state is state
    assert machine.round == 0


@pytest.mark.parametrize(
    ("state", "event"),
    [(s, e) for s, e in product(provider.ProviderState, EVENTS) if e in illegal(provider, s)],
    ids=lambda value: getattr(value, "name", type(value).__name__),
)
def test_provider_refuses_an_event_out_of_turn_and_does_not_change(state, event):
    machine = provider.ProviderMachine(agreement(), own_samples=40)
    machine.state = state

    with pytest.raises(ProtocolError):
        machine.handle(event)

    assert machine.state is state
    assert machine.round == 1


def test_own_samples_must_be_those_of_the_agreement():
    with pytest.raises(ProtocolError, match="over 11 samples"):
        learner.LearnerMachine(agreement(), own_samples=11)
