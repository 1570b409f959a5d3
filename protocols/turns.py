"""Which event may come when: the one check that both machines make before anything else."""

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from assistlearn.errors import LocalProtocolError, PeerProtocolError
from protocols.events import Event, Received

State = TypeVar("State", bound=Enum)
Transitions = Mapping[State, Mapping[type[Event], tuple[State, ...]]]


def states_after(table: Transitions[State], state: State, event: Event) -> tuple[State, ...]:
    """The states that ``event`` may lead to.

    Raises:
        PeerProtocolError: the peer's message does not belong here.
        LocalProtocolError: our own side told this out of turn.
    """
    allowed = table[state].get(type(event))
    if allowed is None:
        blame = PeerProtocolError if isinstance(event, Received) else LocalProtocolError
        raise blame(f"{type(event).__name__} is not allowed while {state.value}")
    return allowed
