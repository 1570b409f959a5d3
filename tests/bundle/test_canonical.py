"""One value, one encoding; anything else is refused."""

import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.bundle import pack, unpack
from assistlearn.bundle.canonical import MAX_DEPTH, MAX_LIST, MAX_TEXT_BYTES
from assistlearn.errors import BundleError

LIMIT = 1 << 20
SCALARS = (
    st.none()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5), max_leaves=30)


@given(VALUES)
def test_unpacking_what_was_packed_gives_the_same_value(value: Any) -> None:
    assert unpack(pack(value), max_bytes=LIMIT) == value


@given(st.binary(max_size=64))
def test_bytes_are_canonical_or_refused(data: bytes) -> None:
    try:
        value = unpack(data, max_bytes=LIMIT)
    except BundleError:
        return
    assert pack(value) == data


@given(VALUES, st.randoms(use_true_random=False))
def test_one_changed_byte_gives_another_value_or_is_refused(value: Any, random: Any) -> None:
    data = bytearray(pack(value))
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)

    try:
        found = unpack(bytes(data), max_bytes=LIMIT)
    except BundleError:
        return
    assert pack(found) == data


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xc2", id="false"),
        pytest.param(b"\xc3", id="true"),
        pytest.param(b"\x80", id="empty map"),
        pytest.param(b"\x81\x01\x02", id="map"),
        pytest.param(b"\xcc\x01", id="int in two bytes"),
        pytest.param(b"\xd0\x05", id="signed int that could be positive"),
        pytest.param(b"\xd9\x01a", id="long form of short text"),
        pytest.param(b"\xc5\x00\x01a", id="long form of short bytes"),
        pytest.param(b"\xdc\x00\x01\x01", id="long form of short list"),
        pytest.param(b"\xca" + struct.pack(">f", 1.5), id="32-bit float"),
        pytest.param(b"\xcb" + struct.pack(">d", float("nan")), id="nan"),
        pytest.param(b"\xa1\xff", id="text that is not UTF-8"),
        pytest.param(b"\xa3\xed\xa0\x80", id="text with a lone surrogate"),
        pytest.param(b"\xd4\x01\x00", id="extension type"),
        pytest.param(b"\xc7\x00\x01", id="empty extension type"),
        pytest.param(b"\xd6\xff\x00\x00\x00\x00", id="timestamp"),
        pytest.param(b"\xc1", id="byte that msgpack never uses"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x01\x01", id="two values"),
        pytest.param(b"\x92\x01", id="list that ends early"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="list with a huge claim"),
        pytest.param(b"\xc6\xff\xff\xff\xff", id="bytes with a huge claim"),
        pytest.param(b"\xdb\xff\xff\xff\xff", id="text with a huge claim"),
        pytest.param(b"\x91" * (MAX_DEPTH + 1) + b"\xc0", id="nested one too deep"),
        pytest.param(b"\x91" * 60_000, id="nested very deep"),
        pytest.param(b"\xdc\x0f\xff" * 20_000, id="nested claims of long lists"),
        pytest.param(msgpack.packb([0] * (MAX_LIST + 1)), id="list one too long"),
        pytest.param(msgpack.packb("a" * (MAX_TEXT_BYTES + 1)), id="text one too long"),
    ],
)
def test_bytes_with_another_spelling_or_beyond_a_limit_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        unpack(data, max_bytes=LIMIT)


@pytest.mark.parametrize(
    "value",
    [True, [False], {}, {1}, 1j, float("nan"), 1 << 64, -(1 << 63) - 1, "\ud800", bytearray(b"a")],
    ids=repr,
)
def test_values_without_a_canonical_form_are_refused(value: Any) -> None:
    with pytest.raises(BundleError):
        pack(value)


@pytest.mark.parametrize(
    "value", [[0] * (MAX_LIST + 1), "a" * (MAX_TEXT_BYTES + 1), "é" * (MAX_TEXT_BYTES // 2 + 1)]
)
def test_values_that_nobody_could_unpack_are_not_packed(value: Any) -> None:
    with pytest.raises(BundleError, match="longer than"):
        pack(value)


def test_the_longest_allowed_values_pass() -> None:
    nested: Any = None
    for _ in range(MAX_DEPTH):
        nested = [nested]
    value = [[0] * MAX_LIST, "a" * MAX_TEXT_BYTES, b"b" * 200_000, -0.0, float("inf")]

    assert unpack(pack(nested), max_bytes=LIMIT) == nested
    assert unpack(pack(value), max_bytes=LIMIT) == value


def test_data_longer_than_the_callers_limit_is_refused() -> None:
    data = pack(b"a" * 100)

    with pytest.raises(BundleError, match="longer than 101"):
        unpack(data, max_bytes=101)
    assert unpack(data, max_bytes=102) == b"a" * 100


def test_tuples_come_back_as_lists() -> None:
    assert unpack(pack((1, (2,))), max_bytes=LIMIT) == [1, [2]]
