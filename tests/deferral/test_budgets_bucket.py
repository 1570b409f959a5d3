"""The hard cap holds in every window; the released sliding window does not hold its rate."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.deferral.budgets import TokenBucket
from assistlearn.errors import ConfigError, LocalProtocolError

times = st.lists(
    st.one_of(st.floats(0, 20), st.integers(0, 20).map(float), st.sampled_from([0.1, 0.3, 0.7])),
    max_size=40,
).map(sorted)


@given(times, st.integers(1, 4), st.one_of(st.floats(0.05, 10), st.integers(1, 9)))
def test_no_window_of_time_holds_more_requests_than_the_cap(arrivals, cap, window):
    bucket = TokenBucket(cap=cap, window=window)
    admitted = [Fraction(time) for time in arrivals if bucket.take(time)]

    for start in admitted:  # a fullest window begins at a request
        inside = [time for time in admitted if start <= time < start + Fraction(window)]
        assert len(inside) <= cap


@given(st.lists(st.integers(0, 8), max_size=9).map(sorted), st.integers(1, 3), st.integers(1, 5))
def test_no_rule_that_keeps_the_cap_has_let_more_through_at_any_time(arrivals, cap, window):
    bucket = TokenBucket(cap=cap, window=window)
    admitted = [bucket.take(time) for time in arrivals]

    for other in itertools.product([False, True], repeat=len(arrivals)):
        let_through = [time for time, yes in zip(arrivals, other, strict=True) if yes]
        if all(
            late - early >= window
            for early, late in zip(let_through, let_through[cap:], strict=False)
        ):
            for upto in range(len(arrivals) + 1):
                assert sum(other[:upto]) <= sum(admitted[:upto])


def test_a_bucket_refilled_at_a_steady_pace_would_pass_the_cap_after_a_pause():
    """Why tokens come back one window after they were spent, and not bit by bit."""
    cap, window = 2, 10.0
    level, last, steady = float(cap), 0.0, []
    for time in (100.0, 100.0, 105.0):
        level, last = min(cap, level + (time - last) * cap / window), time
        if level >= 1:
            level -= 1
            steady.append(time)
    bucket = TokenBucket(cap=cap, window=window)

    ours = [time for time in (100.0, 100.0, 105.0) if bucket.take(time)]

    assert steady == [100.0, 100.0, 105.0]
    assert ours == [100.0, 100.0]


def test_asking_whether_a_token_is_there_spends_none():
    bucket = TokenBucket(cap=1, window=5)

    assert bucket.available(0.0)
    assert bucket.available(0.0)
    assert bucket.take(0.0)
    assert not bucket.available(4.9)
    assert bucket.available(5.0)


@given(times, times, st.integers(1, 4))
def test_a_bucket_that_starts_again_goes_on_where_it_was(before, after, cap):
    offset = max(before, default=0.0)
    bucket = TokenBucket(cap=cap, window=3)
    for time in before:
        bucket.take(time)

    again = TokenBucket(cap=cap, window=3, spent=bucket.spent)

    assert [again.take(offset + time) for time in after] == [
        bucket.take(offset + time) for time in after
    ]


def released_code(requests: int, rate: float) -> int:
    """Deferrals of a rejector that always defers, in the released sliding window."""
    gap, kept_until, deferred = int(1 / rate), 0, 0
    for number in range(requests):
        if number >= kept_until:
            deferred += 1
            kept_until = number + gap
    return deferred


def ours(requests: int, rate: float, cap: int = 1) -> int:
    bucket = TokenBucket.for_rate(rate, cap=cap)
    return sum(bucket.take(number) for number in range(requests))


@pytest.mark.parametrize(
    ("rate", "admitted"), [(0.3, 400), (0.4, 600), (0.55, 1200), (0.6, 1200), (0.9, 1200)]
)
def test_the_released_sliding_window_admits_more_than_its_rate(rate, admitted):
    assert released_code(1200, rate) == admitted
    assert admitted > 1200 * rate
    assert ours(1200, rate) <= 1200 * rate


@given(st.floats(0.01, 1), st.integers(1, 5), st.integers(1, 40))
def test_a_share_of_requests_is_capped_in_every_run_of_whole_windows(rate, cap, windows):
    window = math.ceil(cap / rate)

    assert ours(windows * window, rate, cap) == windows * cap
    assert windows * cap <= rate * windows * window * (1 + 1e-12)


def test_a_larger_cap_wastes_less_of_the_rate():
    assert [ours(1200, 0.4, cap) / 1200 for cap in (1, 2, 4)] == [1 / 3, 0.4, 0.4]
    assert [ours(1200, 0.7, cap) / 1200 for cap in (1, 2, 7)] == [1 / 2, 2 / 3, 0.7]


@pytest.mark.parametrize("time", [0.5, math.nan, math.inf])
def test_time_that_runs_backwards_is_refused_and_nothing_is_spent(time):
    bucket = TokenBucket(cap=2, window=1)
    bucket.take(1.0)

    with pytest.raises(LocalProtocolError, match=r"no finite number|but 1 was given before"):
        bucket.take(time)
    assert bucket.spent == (1.0,)
    assert bucket.take(1.0)


@pytest.mark.parametrize(
    "refused",
    [
        lambda: TokenBucket(cap=0, window=1),
        lambda: TokenBucket(cap=1, window=0),
        lambda: TokenBucket(cap=1, window=math.inf),
        lambda: TokenBucket.for_rate(0.0),
        lambda: TokenBucket.for_rate(1.1),
    ],
)
def test_caps_windows_and_rates_out_of_range_are_refused(refused):
    with pytest.raises(ConfigError):
        refused()


@given(st.integers(10**18, 2 * 10**18), st.integers(1, 999))
def test_a_clock_of_nanoseconds_keeps_the_cap_over_a_restart(start, early):
    bucket = TokenBucket(cap=1, window=1000)
    bucket.take(start)

    again = TokenBucket(cap=1, window=1000, spent=bucket.spent)

    assert bucket.spent == (start,)
    assert not again.available(start + early)
    assert again.available(start + 1000)


@pytest.mark.parametrize(
    "time", [3, 10**400, 0.1, Fraction(1, 3), Fraction(10**40, 3), np.int64(5), np.float32(0.1)]
)
def test_times_come_back_exactly_and_as_floats_where_they_are_floats(time):
    bucket = TokenBucket(cap=1, window=Fraction(1, 3))
    bucket.take(time)

    (spent,) = bucket.spent

    assert spent == (float(time) if isinstance(time, np.floating) else time)
    assert type(spent) is (Fraction if isinstance(time, Fraction) else type(spent))
    assert isinstance(spent, float) == isinstance(time, float | np.floating)


@pytest.mark.parametrize("cap", [1.5, 2.0, True, "2", None])
def test_a_cap_that_is_no_whole_number_is_refused(cap):
    with pytest.raises(ConfigError, match="the cap is"):
        TokenBucket(cap=cap, window=1)
    with pytest.raises(ConfigError, match="the cap is"):
        TokenBucket.for_rate(0.5, cap=cap)


@pytest.mark.parametrize("window", [math.nan, "1", None])
def test_a_window_that_is_no_number_is_refused(window):
    with pytest.raises(ConfigError, match="the window is"):
        TokenBucket(cap=1, window=window)


@pytest.mark.parametrize("rate", [1e-320, 1e-19, math.nan, "0.5"])
def test_a_rate_without_a_window_is_refused(rate):
    with pytest.raises(ConfigError, match=r"rate of|the rate is"):
        TokenBucket.for_rate(rate)


def test_the_share_is_kept_by_whole_windows_and_not_by_the_first_requests():
    bucket = TokenBucket.for_rate(0.25)

    through = [bucket.take(number) for number in range(8)]

    assert through == [True, False, False, False] * 2


def test_time_that_runs_backwards_is_said_plainly():
    bucket = TokenBucket(cap=1, window=1)
    bucket.take(5.0)

    with pytest.raises(LocalProtocolError, match="the time is 1, but 5 was given before"):
        bucket.take(1)
    with pytest.raises(LocalProtocolError, match="the time is '7', which is no finite number"):
        bucket.take("7")
