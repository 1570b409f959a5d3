import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from assistlearn.errors import DataError
from assistlearn.tasks import DatasetExamples, Examples, ShuffledEpochs, TensorExamples

INPUTS = torch.arange(10.0).reshape(5, 2)
TARGETS = torch.tensor([0, 1, 0, 1, 2])


PAIRS = TensorDataset(INPUTS, TARGETS)


@pytest.fixture(params=["tensors", "dataset", "workers"])
def examples(request: pytest.FixtureRequest) -> Examples:
    if request.param == "tensors":
        return TensorExamples(INPUTS, TARGETS)
    return DatasetExamples(PAIRS, workers=1 if request.param == "workers" else 0)


# Python 3.12 and 3.13 warn when a process with threads forks, as DataLoader does.
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_batches_hold_the_examples_asked_for_in_order(examples: Examples) -> None:
    numbers = [torch.tensor([3, 0]), torch.tensor([4])]

    for (inputs, targets), chosen in zip(examples.batches(numbers), numbers, strict=True):
        assert torch.equal(inputs, INPUTS[chosen])
        assert torch.equal(targets, TARGETS[chosen])


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_in_order_gives_every_example_once(examples: Examples) -> None:
    batches = list(examples.on(torch.device("cpu")).in_order(2))

    assert [len(targets) for _, targets in batches] == [2, 2, 1]
    assert torch.equal(torch.cat([inputs for inputs, _ in batches]), INPUTS)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_subset_renumbers(examples: Examples) -> None:
    part = examples.subset(np.array([4, 1]))

    assert len(part) == 2
    ((inputs, targets),) = part.batches([torch.tensor([1, 0])])
    assert torch.equal(inputs, INPUTS[[1, 4]])
    assert torch.equal(targets, TARGETS[[1, 4]])


def test_prepare_is_applied_to_each_batch_even_of_a_subset() -> None:
    doubled = TensorExamples(INPUTS, TARGETS, prepare=lambda inputs: inputs * 2)

    ((inputs, _),) = doubled.subset(np.array([2])).in_order(3)

    assert torch.equal(inputs, 2 * INPUTS[2:3])


def test_empty_or_unequal_data_are_refused() -> None:
    with pytest.raises(DataError, match="0 inputs"):
        TensorExamples(INPUTS[:0], TARGETS[:0])
    with pytest.raises(DataError, match="5 inputs with 4 targets"):
        TensorExamples(INPUTS, TARGETS[:4])
    with pytest.raises(DataError, match="empty"):
        DatasetExamples(PAIRS).subset(np.array([], dtype=np.int64))


SIZES = st.integers(1, 40)


@given(count=SIZES, batch_size=SIZES, epoch=st.integers(0, 3))
def test_every_epoch_shows_every_example_once(count: int, batch_size: int, epoch: int) -> None:
    order = ShuffledEpochs(count=count, batch_size=batch_size, seed=1)
    first = epoch * order.updates_per_epoch

    seen = torch.cat([order.numbers(first + k) for k in range(order.updates_per_epoch)])

    assert sorted(seen.tolist()) == list(range(count))


@given(count=SIZES, batch_size=st.integers(2, 40))
def test_batches_are_full_except_the_last_and_never_hold_one_example(
    count: int, batch_size: int
) -> None:
    order = ShuffledEpochs(count=count, batch_size=batch_size, seed=1)

    sizes = [len(order.numbers(k)) for k in range(order.updates_per_epoch)]

    assert all(size == batch_size for size in sizes[:-1])
    assert 1 < sizes[-1] <= batch_size + 1 or count == 1


@given(updates=st.lists(st.integers(0, 50), min_size=1, max_size=8))
def test_batch_follows_from_the_number_of_the_update_alone(updates: list[int]) -> None:
    used = ShuffledEpochs(count=13, batch_size=4, seed=3)
    for update in updates:
        used.numbers(update)

    fresh = ShuffledEpochs(count=13, batch_size=4, seed=3)

    assert torch.equal(used.numbers(updates[0]), fresh.numbers(updates[0]))


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    order = ShuffledEpochs(count=50, batch_size=50, seed=1)
    other = ShuffledEpochs(count=50, batch_size=50, seed=2)

    assert not torch.equal(order.numbers(0), order.numbers(1))
    assert not torch.equal(order.numbers(0), other.numbers(0))
