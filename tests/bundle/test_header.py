"""The header: one text for one value."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.bundle import BundleHeader, next_transcript
from assistlearn.bundle.header import MAX_NUMBER, MAX_PAYLOAD_BYTES
from assistlearn.errors import BundleError

DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
NUMBERS = st.integers(0, MAX_NUMBER)
HEADERS = st.builds(
    BundleHeader,
    session=DIGESTS,
    round=NUMBERS,
    seq=NUMBERS,
    sender=DIGESTS,
    recipient=DIGESTS,
    transcript=DIGESTS,
    spec=DIGESTS,
    content=DIGESTS,
    payload=st.integers(0, MAX_PAYLOAD_BYTES),
    sealed_key=DIGESTS,
    ledger_size=NUMBERS,
    ledger_root=DIGESTS,
)


@pytest.fixture
def header() -> BundleHeader:
    digests = {name: f"{i:064x}" for i, name in enumerate(DIGEST_FIELDS)}
    return BundleHeader(round=3, seq=7, payload=1000, ledger_size=12, **digests)


DIGEST_FIELDS = (
    "session", "sender", "recipient", "transcript", "spec", "content", "sealed_key", "ledger_root",
)  # fmt: skip


@given(HEADERS)
def test_parsing_a_headers_text_gives_the_header(header: BundleHeader) -> None:
    assert BundleHeader.parse(header.text()) == header


@given(HEADERS, st.integers(0), st.characters(max_codepoint=127))
def test_text_with_one_other_character_is_another_header_or_refused(
    header: BundleHeader, at: int, other: str
) -> None:
    text = header.text()
    at %= len(text)
    changed = text[:at] + other + text[at + 1 :]

    try:
        found = BundleHeader.parse(changed)
    except BundleError:
        return
    assert found.text() == changed


def test_header_is_these_lines_in_this_order(header: BundleHeader) -> None:
    assert header.text() == (
        "assistlearn/bundle/v1\n"
        f"session {0:064x}\n"
        "round 3\n"
        "seq 7\n"
        f"sender {1:064x}\n"
        f"recipient {2:064x}\n"
        f"transcript {3:064x}\n"
        f"spec {4:064x}\n"
        f"content {5:064x}\n"
        "payload 1000\n"
        f"sealed-key {6:064x}\n"
        f"ledger 12 {7:064x}\n"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("round 3\n", "round 3\nround 3\n", id="newline injection"),
        pytest.param("round 3\n", "round 03\n", id="round 03"),
        pytest.param("round 3\n", "round +3\n", id="plus sign"),
        pytest.param("round 3\n", "round -3\n", id="minus sign"),
        pytest.param("round 3\n", "round ٣\n", id="arabic digit"),
        pytest.param("round 3\n", "round  3\n", id="two spaces"),
        pytest.param("round 3\n", "round 3 \n", id="trailing space"),
        pytest.param("round 3\n", f"round {MAX_NUMBER + 1}\n", id="beyond 63 bits"),
        pytest.param("payload 1000", f"payload {MAX_PAYLOAD_BYTES + 1}", id="payload too long"),
        pytest.param("\n", "\r\n", id="CRLF"),
        pytest.param("round 3\nseq 7\n", "seq 7\nround 3\n", id="lines swapped"),
        pytest.param("seq 7\n", "", id="line left out"),
        pytest.param("bundle/v1", "bundle/v2", id="another version"),
        pytest.param("0007\n", "0007\nextra 1\n", id="line added"),
        pytest.param("0007\n", "0007\n\n", id="empty line added"),
        pytest.param("0007\n", "0007", id="last line break left off"),
        pytest.param("0004\n", "000A\n", id="capital hex digit"),
        pytest.param("session 0", "session ", id="digest too short"),
    ],
)
def test_header_in_another_spelling_is_refused(header: BundleHeader, old: str, new: str) -> None:
    assert old in header.text()

    with pytest.raises(BundleError):
        BundleHeader.parse(header.text().replace(old, new))


@pytest.mark.parametrize(
    "change",
    [
        {"round": -1},
        {"seq": MAX_NUMBER + 1},
        {"payload": MAX_PAYLOAD_BYTES + 1},
        {"spec": "F" * 64},
    ],
    ids=str,
)
def test_header_with_a_value_out_of_bounds_cannot_be_made(
    header: BundleHeader, change: dict[str, Any]
) -> None:
    with pytest.raises(BundleError, match=next(iter(change))):
        replace(header, **change)


def test_bind_covers_every_field_down_to_the_payload(header: BundleHeader) -> None:
    after = {"sealed_key": "f" * 64, "ledger_size": 99, "ledger_root": "f" * 64}
    before = {"round": 4, "seq": 8, "payload": 1001} | dict.fromkeys(DIGEST_FIELDS[:6], "e" * 64)

    assert replace(header, **after).bind() == header.bind()
    binds = {replace(header, **{name: value}).bind() for name, value in before.items()}
    assert len(binds | {header.bind()}) == len(before) + 1


def test_transcript_depends_on_every_note_and_their_order() -> None:
    start = "00" * 32
    ab = next_transcript(next_transcript(start, b"a"), b"b")
    ba = next_transcript(next_transcript(start, b"b"), b"a")

    assert len({start, ab, ba, next_transcript(start, b"a"), next_transcript(start, b"ab")}) == 5


def test_transcript_is_the_published_formula() -> None:
    by_hand = hashlib.sha256(
        b"assistlearn/v1/transcript\0" + bytes(32) + hashlib.sha256(b"note").digest()
    )
    assert next_transcript("00" * 32, b"note") == by_hand.hexdigest()
