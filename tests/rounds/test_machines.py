"""A machine made from the record is the one that lived."""

import pytest
from pair import Pair, agreement

from assistlearn.errors import LocalProtocolError
from protocols.machines import machine_of
from protocols.messages import CloseReason
from protocols.record import Joined
from protocols.roles import Role

SAMPLES = {Role.LEARNER: 10, Role.PROVIDER: 40}


def joined(role, *, samples=None, minimum_gain=None):
    return Joined(
        samples=samples or SAMPLES[role],
        minimum_gain=minimum_gain,
        peer_sealing_key=bytes(1216),
    )


@pytest.mark.parametrize("role", Role)
def test_a_machine_made_from_the_record_says_what_the_one_that_lived_said(role):
    pair = Pair(agreement(rounds=9), seed=4, minimum_gain=1e9).run()
    gain = 1e9 if role is Role.LEARNER else None

    machine = machine_of(role, pair.terms, joined(role, minimum_gain=gain))
    said = [message for event in pair.events[role] for message in machine.handle(event)]

    assert pair.sent[Role.LEARNER][-1].reason is CloseReason.STOPPED  # so the gain was looked at
    assert said == pair.sent[role]
    assert machine.done


@pytest.mark.parametrize("role", Role)
def test_a_record_of_other_data_than_the_agreement_says_makes_no_machine(role):
    with pytest.raises(LocalProtocolError, match="over 11 samples"):
        machine_of(role, agreement(), joined(role, samples=11))
