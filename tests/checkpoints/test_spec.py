import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.checkpoints import DType, ModelSpec, TensorSpec
from assistlearn.errors import TensorError


def tensor(
    name: str = "w", dtype: DType = DType.F32, shape: tuple[int, ...] = (2, 3)
) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape, buffer=False)


TENSORS = st.builds(
    TensorSpec,
    name=st.from_regex(r"[A-Za-z0-9_.]{1,12}", fullmatch=True),
    dtype=st.sampled_from(DType),
    shape=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    buffer=st.booleans(),
)
SPECS = st.lists(TENSORS, min_size=1, max_size=5, unique_by=lambda each: each.name).map(
    lambda tensors: ModelSpec(tuple(tensors))
)


@given(spec=SPECS)
def test_text_parses_back_to_an_equal_specification(spec: ModelSpec) -> None:
    again = ModelSpec.parse(spec.text())

    assert again == spec
    assert again.digest == spec.digest
    assert again.header == spec.header


@given(spec=SPECS)
def test_header_describes_adjacent_tensors_and_is_aligned(spec: ModelSpec) -> None:
    length = int.from_bytes(spec.header[:8], "little")
    entries = json.loads(spec.header[8:])

    assert len(spec.header) == 8 + length
    assert length % 8 == 0
    assert [*entries] == [each.name for each in spec.tensors]
    end = 0
    for each in spec.tensors:
        begin, stop = entries[each.name]["data_offsets"]
        assert (begin, stop - begin) == (end, each.size_bytes)
        end = stop
    assert spec.file_bytes == len(spec.header) + end
    assert spec.elements == sum(each.size_bytes // each.dtype.size for each in spec.tensors)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "parameter w F32 2",  # no end of line
        "parameter w F64 2\n",
        "parameter w F32 02\n",
        "parameter w F32 0\n",
        "parameter w F32  2\n",
        "weight w F32 2\n",
        "parameter ../w F32 2\n",
        "parameter w F32 2\nparameter w F32 2\n",
        "parameter w F32 2\r\n",
    ],
)
def test_text_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(TensorError):
        ModelSpec.parse(text)


@pytest.mark.parametrize("shape", [(0,), (-1,), (1 << 32,), (1,) * 9])
def test_shape_out_of_bounds_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(TensorError, match="out of bounds"):
        tensor(shape=shape)


def test_order_of_tensors_is_part_of_the_digest() -> None:
    first, second = tensor("a"), tensor("b")

    assert ModelSpec((first, second)).digest != ModelSpec((second, first)).digest
