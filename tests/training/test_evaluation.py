import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from toytask import ToyTask

from assistlearn.errors import TaskError
from assistlearn.training import evaluating, local_loss


class Given(ToyTask):
    """Yields the batches it was given, whatever the model."""

    def __init__(self, batches: list[Any]) -> None:
        super().__init__()
        self.batches = batches

    def losses(self, model: nn.Module) -> Iterator[Tensor]:
        del model
        yield from self.batches


MODEL = ToyTask().build_model()
BATCHES = st.lists(st.lists(st.floats(0, 1e6), min_size=1, max_size=5), min_size=1, max_size=6)


def as_tensors(batches: list[list[float]]) -> list[Tensor]:
    return [torch.tensor(batch, dtype=torch.float64) for batch in batches]


@given(batches=BATCHES, clip=st.none() | st.floats(1e-3, 1e6))
def test_sums_equal_those_of_a_naive_loop(batches: list[list[float]], clip: float | None) -> None:
    loss = local_loss(Given(as_tensors(batches)), MODEL, clip=clip)

    flat = [value for batch in batches for value in batch]
    assert loss is not None
    assert loss.count == len(flat)
    assert math.isclose(loss.total, math.fsum(flat), rel_tol=1e-12)
    clipped = math.fsum(value if clip is None else min(value, clip) for value in flat)
    assert math.isclose(loss.clipped, clipped, rel_tol=1e-12)


@given(
    candidates=st.lists(st.tuples(BATCHES, st.floats(0, 100)), min_size=1, max_size=6),
    data=st.data(),
)
def test_early_stop_never_changes_which_candidate_wins(
    candidates: list[tuple[list[list[float]], float]], data: st.DataObject
) -> None:
    candidates = candidates + data.draw(st.lists(st.sampled_from(candidates), max_size=2))  # ties

    def winner(*, stop_early: bool) -> int:
        best, best_index = math.inf, -1
        for index, (batches, peer_total) in enumerate(candidates):

            def hopeless(partial: float, best: float = best, peer: float = peer_total) -> bool:
                return stop_early and partial + peer >= best  # the earliest wins a tie

            loss = local_loss(Given(as_tensors(batches)), MODEL, hopeless=hopeless)
            if loss is not None and loss.total + peer_total < best:
                best, best_index = loss.total + peer_total, index
        return best_index

    assert winner(stop_early=True) == winner(stop_early=False)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_that_is_not_a_number_counts_as_infinity(value: float) -> None:
    loss = local_loss(Given([torch.tensor([1.0, value, 2.0])]), MODEL, clip=5.0)

    assert loss is not None
    assert (loss.total, loss.clipped, loss.count) == (math.inf, 8.0, 3)


def test_half_precision_losses_are_added_in_double_precision() -> None:
    batch = torch.full((4096,), 0.1, dtype=torch.bfloat16)

    loss = local_loss(Given([batch] * 3), MODEL)

    assert loss is not None
    assert loss.total == 3 * 4096 * float(batch[0])


@pytest.mark.parametrize(
    ("batch", "complaint"),
    [
        (torch.ones(2, 3), r"got shape \(2, 3\)"),
        (torch.tensor(1.0), r"got shape \(\)"),
        (1.0, "got float"),
        (torch.tensor([1.0, -0.5]), "yielded -0.5"),
        (torch.tensor([1.0, -math.inf]), "yielded -inf"),
    ],
)
def test_losses_in_the_wrong_form_are_refused_with_a_hint(batch: Any, complaint: str) -> None:
    with pytest.raises(TaskError, match=complaint) as caught:
        local_loss(Given([batch]), MODEL)

    assert caught.value.hint


def test_party_without_examples_is_refused() -> None:
    with pytest.raises(TaskError, match="no examples"):
        local_loss(Given([]), MODEL)


class Observing(ToyTask):
    def losses(self, model: nn.Module) -> Iterator[Tensor]:
        assert not model.training
        assert not torch.is_grad_enabled()
        try:
            yield from super().losses(model)
        finally:
            self.closed = True


def test_evaluation_runs_without_dropout_and_gradients_and_closes_the_task_when_stopped() -> None:
    task, model = Observing(), ToyTask().build_model()

    assert local_loss(task, model) == local_loss(task, model)
    task.closed = False
    local_loss(task, model, hopeless=lambda _: True)

    assert task.closed


def test_every_submodule_gets_its_own_mode_back() -> None:
    model = ToyTask().build_model()
    model.get_submodule("1").eval()  # a frozen BatchNorm
    before = [module.training for module in model.modules()]

    with pytest.raises(ZeroDivisionError), evaluating(model):
        1 / 0  # noqa: B018

    assert [module.training for module in model.modules()] == before
    assert torch.is_grad_enabled()
