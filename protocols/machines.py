"""Which machine a party is, from what it recorded when it entered: the same in every replay."""

from protocols.agreement import Agreement
from protocols.learner import LearnerMachine
from protocols.provider import ProviderMachine
from protocols.record import Joined
from protocols.roles import Role

Machine = LearnerMachine | ProviderMachine


def machine_of(role: Role, agreement: Agreement, joined: Joined) -> Machine:
    """The machine of ``role`` before its first event.

    Tell it the recorded events and it is where the party left off.

    Args:
        role: whose.
        agreement: what both parties signed.
        joined: with what this party entered the session.

    Raises:
        LocalProtocolError: the agreement says another number of samples.
    """
    if role is Role.LEARNER:
        return LearnerMachine(
            agreement, own_samples=joined.samples, minimum_gain=joined.minimum_gain
        )
    return ProviderMachine(agreement, own_samples=joined.samples)
