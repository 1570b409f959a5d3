"""The two parties of a session."""

from enum import StrEnum


class Role(StrEnum):
    """Who a process is."""

    LEARNER = "learner"
    PROVIDER = "provider"

    @property
    def peer(self) -> "Role":
        """The other one."""
        return Role.PROVIDER if self is Role.LEARNER else Role.LEARNER
