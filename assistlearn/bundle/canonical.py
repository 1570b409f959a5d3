"""Canonical msgpack: one value, one encoding. What a bundle's body and a ledger's leaf are made of.

Only nothing, whole numbers, floats, text, bytes and lists. No maps, no booleans, no extension
types: each of those has more than one way to say the same thing, or none that we need. Decoding
never trusts the library alone: what was read is encoded again and must give the same bytes
(``FORMAT.md`` section 1).
"""

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgpack  # type: ignore[import-untyped]

from assistlearn.errors import BundleError

Value: TypeAlias = "int | float | str | bytes | Sequence[Value] | None"

MAX_DEPTH: Final = 16  # lists within lists; our deepest message has four
MAX_LIST: Final = 4096  # elements: msgpack reserves the claimed length before it reads it
MAX_TEXT_BYTES: Final = 4096  # of UTF-8: names and reasons, never documents
INT_MIN: Final = -(1 << 63)
INT_MAX: Final = (1 << 64) - 1


def pack(value: Value) -> bytes:
    """The one encoding of ``value``.

    Tuples are written as lists and come back as lists.

    Raises:
        BundleError: the value holds something that has no canonical form, or is beyond a limit.
    """
    _check(value, depth=0)
    encoded: bytes = msgpack.packb(value, use_bin_type=True)
    return encoded


def unpack(data: bytes, *, max_bytes: int) -> Value:
    """The value whose one encoding is ``data``; lists come back as ``list``.

    Args:
        data: what the peer or a file says.
        max_bytes: the longest ``data`` that is looked at, and the longest byte string within.

    Raises:
        BundleError: ``data`` is too long, or is not what :func:`pack` writes for any value.
    """
    if len(data) > max_bytes:
        raise BundleError(f"a message of {len(data)} bytes is longer than {max_bytes}")
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            max_str_len=MAX_TEXT_BYTES,
            max_bin_len=max_bytes,
            max_array_len=MAX_LIST,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BundleError(f"a message is not msgpack within our limits: {error}") from error
    if pack(value) != data:
        raise BundleError("a message is not in canonical form: it can be written in fewer bytes")
    return value  # type: ignore[no-any-return]  # _check has seen every part of it


def _check(value: object, *, depth: int) -> None:
    """Raise unless ``value`` and all within it have exactly one encoding."""
    match value:
        case bool():  # a bool is an int to Python, but not to msgpack
            raise BundleError(f"{value} has no canonical form", hint="write 0 or 1 instead")
        case None | bytes():
            return
        case int():
            if not INT_MIN <= value <= INT_MAX:
                raise BundleError(f"{value} does not fit 64 bits")
        case float():
            if math.isnan(value):  # NaN has 2**53 encodings: a covert channel
                raise BundleError("nan has no canonical form", hint="write nothing instead")
        case str():
            _check_text(value)
        case list() | tuple() if type(value) in {list, tuple}:  # msgpack.ExtType is a tuple too
            _check_list(value, depth=depth)
        case _:
            raise BundleError(f"a {type(value).__name__} has no canonical form")


def _check_text(text: str) -> None:
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError as error:
        raise BundleError(f"text has no UTF-8 form: {text[:80]!r}") from error
    if size_bytes > MAX_TEXT_BYTES:
        raise BundleError(
            f"text of {size_bytes} bytes is longer than {MAX_TEXT_BYTES}",
            hint="write it as bytes instead",
        )


def _check_list(values: Sequence[object], *, depth: int) -> None:
    if depth == MAX_DEPTH:
        raise BundleError(f"lists are nested deeper than {MAX_DEPTH}")
    if len(values) > MAX_LIST:
        raise BundleError(f"a list of {len(values)} elements is longer than {MAX_LIST}")
    for value in values:
        _check(value, depth=depth + 1)
