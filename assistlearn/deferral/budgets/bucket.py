"""A cap on requests that no window of time exceeds, whatever comes in. No clock in here."""

import math
from collections import deque
from collections.abc import Iterable
from fractions import Fraction
from numbers import Integral, Rational, Real
from typing import Final, TypeAlias

from assistlearn.errors import ConfigError, LocalProtocolError

Time: TypeAlias = float | Fraction
"""A point or a length in the caller's unit: a whole number, a fraction, or a float as it is."""

EXACT: Final = 1 << 53  # no float beyond has a fraction
LONGEST_WINDOW: Final = 10**18  # requests: more than come in a thousand years


class TokenBucket:
    """``cap`` tokens, one for each request; each comes back ``window`` after it was spent.

    Any window of that length, wherever it begins (its end left out), holds at most ``cap``
    requests, and no rule that promises this has let more of them through at any time. The usual
    bucket, refilled at a steady pace, does not promise it: after a pause it lets through a full
    bucket and what drips in meanwhile.

    Time is what the caller says it is: seconds of a monotonic clock, or the number of the request,
    and then the share of deferrals is what is capped.
    """

    def __init__(self, *, cap: int, window: Time, spent: Iterable[Time] = ()) -> None:
        """Make a bucket.

        Args:
            cap: requests that any window may hold, at least 1.
            window: length of the window, in the caller's unit of time, above 0.
            spent: times at which tokens were spent before, from :attr:`spent` of an earlier
                bucket: a service that starts again must not start with a full one.

        Raises:
            ConfigError: a cap below 1 or no whole number, or a window that is no length.
            LocalProtocolError: ``spent`` is not in order.
        """
        length = _exact(window)
        if length is None or length <= 0:
            raise ConfigError(
                f"the window is {window!r}, must be a number above 0 and finite",
                hint="give the length of time in which at most the cap may be asked",
            )
        self._cap = _checked_cap(cap)
        self._window = length
        self._spent: deque[Fraction] = deque(maxlen=self._cap)
        self._latest: Fraction | None = None
        for time in spent:
            self._spent.append(self._moved_to(time))

    @classmethod
    def for_rate(cls, rate: float, *, cap: int = 1) -> "TokenBucket":
        r"""A bucket whose time is the number of the request, for a bound on the share let through.

        Its window is :math:`\lceil cap / rate \rceil` requests, so the share is at most ``rate`` in
        every run of one or more whole windows. Of fewer requests it can be larger: the first
        ``cap`` of all are let through. With a cap of 1 this is the sliding
        window of learning to help, which forces the next requests to be kept after each deferral;
        its released code takes :math:`\lfloor 1/p \rfloor` instead, and so lets a third through
        where 0.3 is allowed, a half for 0.4, and everything from above a half.

        Args:
            rate: the largest share, above 0, at most 1.
            cap: how many may come in a row; more waste less of the rate.

        Raises:
            ConfigError: the rate is no share above 0, or too small for a window to have a length.
        """
        share = _exact(rate)
        if share is None or not 0 < share <= 1:
            raise ConfigError(
                f"the rate is {rate!r}, must be above 0 and at most 1",
                hint="use agent 0 alone to never ask",
            )
        if share * LONGEST_WINDOW < _checked_cap(cap):
            raise ConfigError(
                f"a rate of {rate!r} allows {cap} in more than {LONGEST_WINDOW:.0e} requests",
                hint="use agent 0 alone to never ask",
            )
        return cls(cap=cap, window=math.ceil(cap / float(share)))

    @property
    def spent(self) -> tuple[Time, ...]:
        """When the last tokens were spent, exactly, at most ``cap`` of them, oldest first.

        Whole numbers are given back as such: nanoseconds since 1970 are no floats.
        """
        return tuple(map(_plain, self._spent))

    def available(self, time: Time) -> bool:
        """Whether a request at ``time`` would be let through. Spends nothing.

        Raises:
            LocalProtocolError: time runs backwards, or is no number.
        """
        now = self._moved_to(time)
        return len(self._spent) < self._cap or now - self._spent[0] >= self._window

    def take(self, time: Time) -> bool:
        """Spend a token at ``time`` if there is one; False if the request must not be made.

        Raises:
            LocalProtocolError: time runs backwards, or is no number. Nothing is spent.
        """
        if not self.available(time):
            return False
        self._spent.append(self._moved_to(time))
        return True

    def _moved_to(self, time: Time) -> Fraction:
        now = _exact(time)
        if now is None:
            raise LocalProtocolError(
                f"the time is {time!r}, which is no finite number",
                hint="give the time of a monotonic clock, or number the requests",
            )
        if self._latest is not None and now < self._latest:
            raise LocalProtocolError(
                f"the time is {time}, but {_plain(self._latest)} was given before: it runs"
                " backwards",
                hint="give the time of a monotonic clock, or number the requests",
            )
        self._latest = now
        return now


def _checked_cap(cap: int) -> int:
    """The cap as a plain number.

    Raises:
        ConfigError: it is no whole number above 0.
    """
    if not isinstance(cap, Integral) or isinstance(cap, bool) or cap < 1:
        raise ConfigError(
            f"the cap is {cap!r}, must be a whole number from 1 on",
            hint="use agent 0 alone to never ask",
        )
    return int(cap)


def _exact(number: object) -> Fraction | None:
    """A finite number without rounding, which could let one more through; None for others."""
    match number:
        case Integral():
            return Fraction(int(number))
        case Rational():
            return Fraction(number)
        case Real() if math.isfinite(number):
            return Fraction(float(number))
        case _:
            return None


def _plain(time: Fraction) -> Time:
    """The same point of time as a whole number or a float, if it is one."""
    if time.denominator == 1:
        return time.numerator
    return float(time) if abs(time) < EXACT and float(time) == time else time
