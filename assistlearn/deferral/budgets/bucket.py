"""A cap on requests that no window of time exceeds, whatever comes in. No clock in here."""

import math
from collections import deque
from collections.abc import Iterable
from fractions import Fraction

from assistlearn.errors import ConfigError, LocalProtocolError


class TokenBucket:
    """``cap`` tokens, one for each request; each comes back ``window`` after it was spent.

    Any window of that length, wherever it begins (its end left out), holds at most ``cap``
    requests, and no rule that promises this has let more of them through at any time. The usual
    bucket, refilled at a steady pace, does not promise it: after a pause it lets through a full
    bucket and what drips in meanwhile.

    Time is what the caller says it is: seconds of a monotonic clock, or the number of the request,
    and then the share of deferrals is what is capped.
    """

    def __init__(self, *, cap: int, window: float, spent: Iterable[float] = ()) -> None:
        """Make a bucket.

        Args:
            cap: requests that any window may hold, at least 1.
            window: length of the window, in the caller's unit of time, above 0.
            spent: times at which tokens were spent before, from :attr:`spent` of an earlier
                bucket: a service that starts again must not start with a full one.

        Raises:
            ConfigError: a cap below 1, or a window that is no length.
            LocalProtocolError: ``spent`` is not in order.
        """
        if cap < 1:
            raise ConfigError(
                f"the cap is {cap}, must be at least 1", hint="use agent 0 alone to never ask"
            )
        if not 0 < window < math.inf:
            raise ConfigError(
                f"the window is {window}, must be above 0 and finite",
                hint="give the length of time in which at most the cap may be asked",
            )
        self._cap = cap
        self._window = Fraction(window)  # exact: rounding must not let one more through
        self._spent: deque[Fraction] = deque(maxlen=cap)
        self._latest: Fraction | None = None
        for time in spent:
            self._spent.append(self._moved_to(time))

    @classmethod
    def for_rate(cls, rate: float, *, cap: int = 1) -> "TokenBucket":
        r"""A bucket whose time is the number of the request, for a share that is never exceeded.

        Its window is :math:`\lceil cap / rate \rceil` requests. With a cap of 1 this is the sliding
        window of learning to help, which forces the next requests to be kept after each deferral;
        its released code takes :math:`\lfloor 1/p \rfloor` instead, and so lets a third through
        where 0.3 is allowed, a half for 0.4, and everything from above a half.

        Args:
            rate: the largest share, above 0, at most 1.
            cap: how many may come in a row; more waste less of the rate.

        Raises:
            ConfigError: the rate is no share above 0.
        """
        if not 0 < rate <= 1:
            raise ConfigError(
                f"the rate is {rate}, must be above 0 and at most 1",
                hint="use agent 0 alone to never ask",
            )
        return cls(cap=cap, window=math.ceil(cap / rate))

    @property
    def spent(self) -> tuple[float, ...]:
        """When the last tokens were spent, at most ``cap`` of them, oldest first."""
        return tuple(map(float, self._spent))

    def available(self, time: float) -> bool:
        """Whether a request at ``time`` would be let through. Spends nothing.

        Raises:
            LocalProtocolError: time runs backwards, or is no number.
        """
        now = self._moved_to(time)
        return len(self._spent) < self._cap or now - self._spent[0] >= self._window

    def take(self, time: float) -> bool:
        """Spend a token at ``time`` if there is one; False if the request must not be made.

        Raises:
            LocalProtocolError: time runs backwards, or is no number. Nothing is spent.
        """
        if not self.available(time):
            return False
        self._spent.append(Fraction(time))
        return True

    def _moved_to(self, time: float) -> Fraction:
        if not math.isfinite(time) or (self._latest is not None and time < self._latest):
            latest = "none" if self._latest is None else float(self._latest)
            raise LocalProtocolError(
                f"time {time} comes after {latest}",
                hint="give the time of a monotonic clock, or number the requests",
            )
        self._latest = Fraction(time)
        return self._latest
