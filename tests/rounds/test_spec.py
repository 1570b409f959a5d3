"""SPEC.md says what the tables say."""

import dataclasses
import re
from pathlib import Path

import pytest
from house import House

import protocols
from assistlearn.checkpoints import MAX_ABS, MAX_COUNTER
from assistlearn.errors import RefusedByPeerError
from protocols import codec, learner, provider
from protocols.agreement import TITLE, Agreement, Terms
from protocols.messages import Piece, Refusal, RefusalCode
from protocols.roles import Role
from protocols.sampling import Sampling, sampled_steps

SPEC = (Path(protocols.__file__).parent / "SPEC.md").read_text(encoding="utf-8")
KINDS = codec.MESSAGE_KINDS | codec.FRAME_KINDS


def rows(heading: str) -> list[str]:
    """The rows of the table with this first line."""
    return SPEC.split(heading)[1].split("\n\n")[0].splitlines()[2:]


def quoted(names) -> str:
    return ", ".join(f"`{name}`" for name in names)


@pytest.mark.parametrize("module", [learner, provider], ids=["learner", "provider"])
def test_every_transition_is_a_row_of_the_specification(module):
    table = rows(f"| {module.__name__.rpartition('.')[2]} in | hears | goes to |")

    assert table == [
        f"| {state.value} | {event.__name__} | {', '.join(s.value for s in targets)} |"
        for state, events in module.TRANSITIONS.items()
        for event, targets in events.items()
    ]


@pytest.mark.parametrize("sampling", Sampling)
def test_the_first_steps_of_every_sampling_strategy_are_a_row_of_the_specification(sampling):
    first = sampled_steps(100, 1, sampling=sampling)[: 5 if sampling is Sampling.DOUBLING else 4]

    shown = ", ".join("0" if step == 0 else f"{step}I".removeprefix("1") for step in first)

    assert f"| `{sampling.value}` | {shown}, ... |" in SPEC


def test_every_kind_of_message_and_frame_is_a_row_of_the_specification():
    table = rows("| kind | message or frame | fields |")

    assert table == [
        f"| {number} | `{kind.__name__}` | {quoted(f.name for f in dataclasses.fields(kind))} |"
        for number, kind in KINDS.items()
    ]


def test_what_every_field_must_be_is_a_row_of_the_specification():
    forms: dict[str, str] = {}
    for kind in KINDS.values():
        for field in dataclasses.fields(kind):
            form = demanded(field)
            same = forms.setdefault(field.name, form) == form
            if not same:
                forms[f"{kind.__name__}.{field.name}"] = form
    names: dict[str, list[str]] = {}
    for name, form in forms.items():
        names.setdefault(form, []).append(name)

    table = rows("| fields | must |")

    assert table == [f"| {quoted(group)} | {form} |" for form, group in names.items()]


def demanded(field: dataclasses.Field) -> str:
    """What a field's own check says of a value that is nothing at all."""
    with pytest.raises(ValueError, match=r"^must ") as caught:
        field.metadata["check"](object())
    return str(caught.value).removeprefix("must ")


def test_a_piece_is_laid_out_as_the_specification_says():
    piece = Piece(session=bytes(range(32)), seq=7, index=11, sealed=memoryview(b"sealed"))
    values = {"kind": 16, "session": piece.session, "seq": 7, "index": 11, "sealed": piece.sealed}
    layout = re.search(r"^    (kind .* piece)$", SPEC, re.MULTILINE)
    assert layout is not None

    laid_out = b""
    for part in layout[1].split(" || "):
        name, _, width = part.partition(" ")
        value = values[name]
        size = re.fullmatch(r"u(\d+)", width)
        laid_out += value.to_bytes(int(size[1]) // 8, "big") if size else bytes(value)

    assert laid_out == codec.encode_frame(piece)
    assert f"It begins with {codec.PIECE_KIND}," in SPEC


@pytest.mark.parametrize(("kind", "names"), [(Agreement, "learner provider"), (Terms, "task loss")])
def test_the_lines_of_both_texts_stand_in_the_specification(kind, names):
    block = next(b for b in SPEC.split("\n\n") if b.startswith(f"    {names} "))

    assert block.split() == [field.name for field in dataclasses.fields(kind)]
    assert f"`{TITLE}`" in SPEC


def test_sizes_and_the_bounds_of_values_are_those_of_the_code():
    message, frame = codec.MAX_MESSAGE_BYTES, codec.MAX_FRAME_BYTES
    magnitude = re.search(r"at most 10\^(\d+) in magnitude", SPEC)

    assert f"at most {message >> 20} MiB, a frame {frame - message >> 10} KiB more" in SPEC
    assert magnitude is not None
    assert 10.0 ** int(magnitude[1]) == MAX_ABS
    assert f"every counter from 0 to 2^{MAX_COUNTER.bit_length() - 1}," in SPEC
    assert MAX_COUNTER.bit_count() == 1


def test_the_specification_says_of_every_refusal_whether_it_ends_a_session(tmp_path):
    said = [tuple(row.strip("| ").split(" | ")) for row in rows("| code | what it says |")]

    found = []
    for code in RefusalCode:
        house = House(tmp_path / code.value)
        session = house.parties[Role.LEARNER].session
        refusal = Refusal(session=bytes.fromhex(session.id), code=code, field="", own="", peer="")
        with pytest.raises(RefusedByPeerError):
            session.receive(refusal)
        found.append((f"`{code.value}`", "ends" if session.closed else "waits"))
        house.close()

    assert [(code, outcome) for code, _, outcome in said] == found
