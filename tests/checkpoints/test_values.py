import math
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.checkpoints import BytesCheck, DType, ModelSpec, TensorSpec, check_file
from assistlearn.checkpoints.values import BLOCK_BYTES, magnitude_bits
from assistlearn.errors import StorageError, TensorError

FLOATS = [DType.F32, DType.F16, DType.BF16]


def decoded(bits: int, dtype: DType) -> float:
    """One element's value, by the standard library alone."""
    match dtype:
        case DType.F16:
            return float(struct.unpack("<e", struct.pack("<H", bits))[0])
        case DType.BF16:
            return float(struct.unpack("<f", struct.pack("<I", bits << 16))[0])
        case _:
            return float(struct.unpack("<f", struct.pack("<I", bits))[0])


def packed(bits: list[int], dtype: DType) -> bytes:
    return struct.pack(f"<{len(bits)}{'I' if dtype is DType.F32 else 'H'}", *bits)


def accepted_by_slow_loop(bits: list[int], dtype: DType, max_abs: float) -> bool:
    values = [decoded(each, dtype) for each in bits]
    return all(math.isfinite(value) and abs(value) <= max_abs for value in values)


def specified(*tensors: tuple[str, DType, tuple[int, ...]]) -> ModelSpec:
    return ModelSpec(
        tuple(
            TensorSpec(name=name, dtype=dtype, shape=shape, buffer=dtype is DType.I64)
            for name, dtype, shape in tensors
        )
    )


def written(path: Path, spec: ModelSpec, *tensors: bytes) -> Path:
    file = path / "file.safetensors"
    file.write_bytes(spec.header + b"".join(tensors))
    return file


def accepted(path: Path, spec: ModelSpec, max_abs: float) -> bool:
    try:
        check_file(path, spec, max_abs=max_abs)
    except TensorError:
        return False
    return True


def special_bits(dtype: DType) -> list[int]:
    """Zero, denormals, one, largest, infinity, several NaN; each with both signs."""
    bits = 32 if dtype is DType.F32 else 16
    mantissa = {DType.F32: 23, DType.F16: 10, DType.BF16: 7}[dtype]
    infinity = (1 << (bits - 1)) - (1 << mantissa)
    one = {DType.F32: 0x3F800000, DType.F16: 0x3C00, DType.BF16: 0x3F80}[dtype]
    positive = [0, 1, (1 << mantissa) - 1, 1 << mantissa, one, infinity - 1]
    positive += [infinity, infinity + 1, infinity + (1 << (mantissa - 1)), (1 << (bits - 1)) - 1]
    return [value | sign << (bits - 1) for value in positive for sign in (0, 1)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("max_abs", [1.0, 1e4, 1e6, 1e30, math.inf])
def test_every_special_value_is_judged_as_by_a_slow_loop(
    tmp_path: Path, dtype: DType, max_abs: float
) -> None:
    spec = specified(("w", dtype, (3,)))
    for bits in special_bits(dtype):
        row = [0, bits, 0]

        file = written(tmp_path, spec, packed(row, dtype))

        assert accepted(file, spec, max_abs) == accepted_by_slow_loop(row, dtype, max_abs), hex(
            bits
        )


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data(), max_abs=st.floats(1e-30, 1e38))
def test_limit_in_bits_is_the_largest_value_within_the_bound(
    dtype: DType, data: st.DataObject, max_abs: float
) -> None:
    sign = 1 << (31 if dtype is DType.F32 else 15)
    bits = data.draw(st.integers(0, sign - 1))
    limit = magnitude_bits(max_abs, dtype)

    for magnitude in (bits, limit, limit + 1):
        assert (magnitude <= limit) == accepted_by_slow_loop([magnitude], dtype, max_abs)
        assert (magnitude <= limit) == accepted_by_slow_loop([magnitude | sign], dtype, max_abs)


@pytest.mark.parametrize("position", [0, BLOCK_BYTES // 4 - 1, BLOCK_BYTES // 4, -1])
def test_bad_value_is_found_at_every_edge_of_a_block_and_named(
    tmp_path: Path, position: int
) -> None:
    count = BLOCK_BYTES // 4 + 7
    values = np.ones(count, dtype="<f4")
    values[position] = np.nan
    spec = specified(("first", DType.F16, (3,)), ("layer.weight", DType.F32, (count,)))
    file = written(tmp_path, spec, bytes(6), values.tobytes())

    with pytest.raises(TensorError, match=rf"value {position % count} of .*layer.weight is nan"):
        check_file(file, spec)


@pytest.mark.parametrize(
    ("value", "fine"),
    [(0, True), (2**53, True), (2**53 + 1, False), (2**63 - 1, False), (-1, False)],
)
def test_counters_that_could_overflow_or_are_negative_are_refused(
    tmp_path: Path, value: int, fine: bool
) -> None:
    spec = specified(("seen", DType.I64, (3,)))
    file = written(tmp_path, spec, struct.pack("<3q", 7, value, 8))

    assert accepted(file, spec, 1.0) is fine


def test_a_counter_out_of_bounds_is_named(tmp_path: Path) -> None:
    spec = specified(("seen", DType.I64, (3,)))
    file = written(tmp_path, spec, struct.pack("<3q", 7, 1, -2))

    with pytest.raises(TensorError, match=r"value 2 of tensor seen is -2, must be from 0 to 2\^53"):
        check_file(file, spec)


@pytest.mark.parametrize("dtype", FLOATS)
def test_message_gives_the_value_in_its_own_precision(tmp_path: Path, dtype: DType) -> None:
    spec = specified(("w", dtype, (2,)))
    three = {DType.F32: 0x40400000, DType.F16: 0x4200, DType.BF16: 0x4040}[dtype]
    file = written(tmp_path, spec, packed([0, three], dtype))

    with pytest.raises(TensorError, match="value 1 of tensor w is 3, must be finite") as caught:
        check_file(file, spec, max_abs=2.0)

    assert caught.value.hint


def test_file_that_is_too_long_or_too_short_is_refused(tmp_path: Path) -> None:
    spec = specified(("w", DType.F32, (2,)))

    for size in (0, 7, 9, 4096):
        with pytest.raises(TensorError, match="bytes"):
            check_file(written(tmp_path, spec, bytes(size)), spec)


def test_header_that_differs_in_one_byte_is_refused(tmp_path: Path) -> None:
    spec = specified(("w", DType.F32, (2,)))
    for index in range(len(spec.header)):
        changed = bytearray(spec.header + bytes(8))
        changed[index] ^= 1
        file = tmp_path / "changed.safetensors"
        file.write_bytes(changed)

        with pytest.raises(TensorError, match="header"):
            check_file(file, spec)


def test_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read checkpoint absent"):
        check_file(tmp_path / "absent", specified(("w", DType.F32, (2,))))


def test_checking_does_not_load_torch() -> None:
    program = "import assistlearn.checkpoints, sys; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


MIXED = specified(
    ("half", DType.F16, (3,)),
    ("w", DType.F32, (5,)),
    ("seen", DType.I64, ()),
    ("b", DType.BF16, (1,)),
)


@given(data=st.data(), bad=st.booleans())
def test_bytes_that_come_cut_anywhere_are_judged_as_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, bad: bool
) -> None:
    file = bytearray(MIXED.header + bytes(MIXED.file_bytes - len(MIXED.header)))
    if bad:
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(1, 255))
    cuts = data.draw(st.lists(st.integers(0, len(file)), max_size=8).map(sorted))
    path = tmp_path_factory.mktemp("cut") / "file.safetensors"
    path.write_bytes(file)

    check = BytesCheck(MIXED, name="it", max_abs=1.0)
    refused = None
    try:
        for start, end in pairwise([0, *cuts, len(file)]):
            check.update(memoryview(file)[start:end])
        check.finish()
    except TensorError as error:
        refused = str(error)

    assert (refused is None) == accepted(path, MIXED, 1.0)


def check_in_steps(file: bytes, step: int) -> None:
    check = BytesCheck(MIXED, name="it")
    for start in range(0, len(file), step):
        check.update(file[start : start + step])
    check.finish()


@pytest.mark.parametrize(("tensor", "index"), [("w", 4), ("b", 0)])
@pytest.mark.parametrize("step", [1, 3, 7, 4096])
def test_a_bad_value_that_comes_in_parts_is_named(tensor: str, index: int, step: int) -> None:
    ends = {"w": 6 + 20, "b": 6 + 20 + 8 + 2}
    file = bytearray(MIXED.header + bytes(MIXED.file_bytes - len(MIXED.header)))
    end = len(MIXED.header) + ends[tensor]
    file[end - 2 : end] = b"\xff\xff"  # NaN in both precisions

    with pytest.raises(TensorError, match=f"value {index} of tensor {tensor} is nan"):
        check_in_steps(bytes(file), step)


def test_bytes_that_end_early_or_go_on_are_refused() -> None:
    file = MIXED.header + bytes(MIXED.file_bytes - len(MIXED.header))
    for end, where in [(3, "its header"), (len(MIXED.header), "tensor half"), (-1, "tensor b")]:
        check = BytesCheck(MIXED, name="it")
        check.update(file[:end])
        with pytest.raises(TensorError, match=f"it ends inside {where}"):
            check.finish()
    check = BytesCheck(MIXED, name="it")
    with pytest.raises(TensorError, match="goes on after its last tensor"):
        check.update(file + b"\0")
