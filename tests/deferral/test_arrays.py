"""Arrays at the door: what numpy would take in silence, or not at all."""

import numpy as np
import pytest
import torch
from scipy import sparse

from assistlearn.deferral.arrays import array_of, numbers_of
from assistlearn.deferral.report import trial
from assistlearn.errors import DataError


def test_masked_values_are_refused_and_a_mask_of_nothing_is_not():
    costs = np.ma.masked_array([[9.0, 1.0], [9.0, 0.0]], mask=[[True, False], [True, False]])

    with pytest.raises(DataError, match="2 masked values"):
        trial(costs, {"it": [0, 0]})
    with pytest.raises(DataError, match="1 masked values"):
        trial(np.ones((2, 2)), {"it": np.ma.masked_array([0, 1], mask=[True, False])})

    bare = numbers_of(np.ma.masked_array([1.0, 2.0], mask=[False, False]), "x", dimensions=1)
    assert bare.tolist() == [1, 2]


@pytest.mark.parametrize(
    "values",
    [
        sparse.csr_matrix(np.eye(2)),
        sparse.coo_array(np.eye(2)),
        torch.eye(2).to_sparse(),
    ],
)
def test_sparse_arrays_are_refused_with_how_to_make_them_dense(values):
    with pytest.raises(DataError, match="an array is sparse") as caught:
        numbers_of(values, "costs", dimensions=2)

    assert ".toarray()" in caught.value.hint


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.int8])
def test_tensors_of_any_type_are_taken_with_a_gradient_or_without(dtype):
    values = torch.tensor([[1, 2], [3, 0]], dtype=dtype)

    assert array_of(values).tolist() == [[1, 2], [3, 0]]
    if dtype.is_floating_point:
        assert array_of(values.requires_grad_()).tolist() == [[1, 2], [3, 0]]
