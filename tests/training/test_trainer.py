import gc
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from toytask import ToyTask

from assistlearn.checkpoints import CheckpointStore
from assistlearn.checkpoints.tensors import WireDType, load_checkpoint, model_spec
from assistlearn.errors import StorageError, TaskError, TensorError
from assistlearn.task import Task
from assistlearn.training import Sample, Trainer, local_loss

GRID = [0, 3, 6, 8]


def trainer_in(
    folder: Path, task: Task | None = None, *, wire: WireDType = "float32", party: str = "learner"
) -> Trainer:
    task = task or ToyTask()
    return Trainer(
        task,
        store=CheckpointStore(folder / "spool"),
        snapshots=folder / "snapshots",
        spec=model_spec(ToyTask().build_model(), wire_dtype=wire),
        seed=11,
        noise_seed=b"sixteen bytes ok",
        clip=0.5,
        party=party,
    )


def steps_of_a_round() -> list[dict[str, Any]]:
    return [
        {"from_step": a, "to_step": b, "first_update": 40 + a, "last": b == GRID[-1]}
        for a, b in itertools.pairwise(GRID)
    ]


def unbroken(
    folder: Path, task: Task | None = None, *, wire: WireDType = "float32"
) -> list[Sample]:
    trainer = trainer_in(folder, task, wire=wire)
    start = trainer.initial().digest
    assert start is not None
    return [trainer.train(round_=2, start=start, **step) for step in steps_of_a_round()]


@pytest.mark.parametrize("wire", ["float32", "bfloat16"])
@pytest.mark.parametrize("cuts", [{1}, {2}, {0, 1, 2}])
def test_resumed_round_equals_unbroken_round_bit_for_bit(
    tmp_path: Path, wire: WireDType, cuts: set[int]
) -> None:
    expected = unbroken(tmp_path / "unbroken", wire=wire)
    trainer = trainer_in(tmp_path, wire=wire)
    start = trainer.initial().digest
    assert start is not None

    samples = []
    for index, step in enumerate(steps_of_a_round()):
        if index in cuts:
            trainer = trainer_in(tmp_path, wire=wire)
        samples.append(trainer.train(round_=2, start=start, **step))

    assert samples == expected


def test_job_that_was_killed_half_way_gives_the_same_bits_when_repeated(tmp_path: Path) -> None:
    expected = unbroken(tmp_path / "unbroken")
    trainer = trainer_in(tmp_path)
    start = trainer.initial().digest
    assert start is not None

    samples = []
    for step in steps_of_a_round():
        trainer_in(tmp_path).train(round_=2, start=start, **step)  # its answer was never recorded
        samples.append(trainer_in(tmp_path).train(round_=2, start=start, **step))

    assert samples == expected


class FailingOnce(ToyTask):
    fails = True

    def train(self, model: nn.Module, optimizer: Optimizer, steps: range) -> None:
        super().train(model, optimizer, steps)
        if 4 in steps and self.fails:
            self.fails = False
            raise OSError("the data disk went away")


def test_training_that_failed_half_way_does_not_pass_for_a_live_one(tmp_path: Path) -> None:
    trainer, task = trainer_in(tmp_path / "a"), FailingOnce()
    failing = trainer_in(tmp_path / "b", task)
    start = trainer.initial().digest
    assert failing.initial().digest == start is not None
    for each in (trainer, failing):
        each.train(round_=1, start=start, from_step=0, to_step=3, first_update=0)

    with pytest.raises(TaskError, match="went away"):
        failing.train(round_=1, start=start, from_step=3, to_step=6, first_update=3)

    again = failing.train(round_=1, start=start, from_step=3, to_step=6, first_update=3)
    assert again == trainer.train(round_=1, start=start, from_step=3, to_step=6, first_update=3)


def test_scoring_and_measuring_do_not_disturb_training(tmp_path: Path) -> None:
    expected = unbroken(tmp_path / "unbroken")
    trainer = trainer_in(tmp_path)
    start = trainer.initial().digest
    assert start is not None

    samples = []
    for step in steps_of_a_round():
        trainer.score(start)
        samples.append(trainer.train(round_=2, start=start, **step))
        trainer.metrics(start)

    assert samples == expected


@pytest.mark.parametrize("wire", ["float32", "bfloat16"])
def test_loss_of_a_sample_is_the_loss_of_the_stored_file(tmp_path: Path, wire: WireDType) -> None:
    samples = unbroken(tmp_path, wire=wire)
    scorer = trainer_in(tmp_path, wire=wire)

    for sample in samples:
        assert sample.digest is not None
        assert scorer.score(sample.digest) == sample.loss
    assert len({sample.digest for sample in samples}) == len(samples)


def test_batchnorm_buffers_travel_with_the_checkpoint(tmp_path: Path) -> None:
    sample = unbroken(tmp_path)[0]
    model = ToyTask().build_model()
    assert sample.digest is not None

    load_checkpoint(
        model, model_spec(model), CheckpointStore(tmp_path / "spool").path(sample.digest)
    )

    assert int(model.get_buffer("1.num_batches_tracked")) == 3
    assert not torch.equal(model.get_buffer("1.running_mean"), torch.zeros(8))


def test_both_parties_build_the_same_initial_model_and_train_differently(tmp_path: Path) -> None:
    samples = []
    for party in ("learner", "provider"):
        trainer = trainer_in(tmp_path / party, party=party)
        start = trainer.initial()
        assert start.digest is not None
        trained = trainer.train(
            round_=1, start=start.digest, from_step=0, to_step=2, first_update=0
        )
        samples.append((start, trained))

    (own, own_trained), (peer, peer_trained) = samples
    assert own.digest == peer.digest
    assert own_trained.digest != peer_trained.digest


def test_updates_are_numbered_over_the_session(tmp_path: Path) -> None:
    task = ToyTask()

    unbroken(tmp_path, task)

    assert task.updates == list(range(40, 48))


def test_optimizer_state_is_reset_at_every_hand_over(tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path)
    start = trainer.initial().digest
    assert start is not None
    job = {"start": start, "from_step": 0, "to_step": 3, "first_update": 0}
    first = trainer.train(round_=1, **job)
    trainer.train(round_=1, start=start, from_step=3, to_step=6, first_update=3)

    assert trainer.train(round_=1, **job) == first


def test_only_the_snapshots_that_resuming_needs_are_kept(tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path)
    start = trainer.initial().digest
    assert start is not None

    kept = []
    for round_ in (1, 2):
        for step in steps_of_a_round():
            trainer.train(round_=round_, start=start, **step)
            kept.append(sorted(path.stem for path in (tmp_path / "snapshots").iterdir()))

    assert kept == [
        [f"round-{round_}-step-{step}-from-{start[:16]}" for step in steps]
        for round_ in (1, 2)
        for steps in ([3], [3, 6], [6])
    ]


class Diverging(ToyTask):
    def train(self, model: nn.Module, optimizer: Optimizer, steps: range) -> None:
        super().train(model, optimizer, steps)
        with torch.no_grad():
            model.get_parameter("4.weight").mul_(float("inf"))


def test_diverged_model_is_a_sample_without_digest_and_loss(tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path, Diverging())
    start = trainer.initial().digest
    assert start is not None

    sample = trainer.train(round_=1, start=start, from_step=0, to_step=2, first_update=0)

    assert (sample.step, sample.digest, sample.loss) == (2, None, None)
    after = trainer.train(round_=1, start=start, from_step=2, to_step=3, first_update=2)
    assert after.digest is None


def test_clipped_loss_uses_the_agreed_bound(tmp_path: Path) -> None:
    loss = unbroken(tmp_path)[-1].loss

    assert loss is not None
    assert loss.count == 30
    assert 0 < loss.clipped < loss.total
    assert loss.clipped <= 30 * 0.5


def test_noise_belongs_to_the_level_of_the_loss_in_every_step_round_and_process(
    tmp_path: Path,
) -> None:
    """A peer that has one model looked at again and again would average other noise away."""
    samples = unbroken(tmp_path)
    start = samples[-1].digest
    assert start is not None

    repeated = []
    for round_ in (3, 4):
        trainer = trainer_in(tmp_path, broken("train", lambda *_: None))  # moves no model
        for step in (0, 1):
            place = {"from_step": step, "to_step": step + 1, "first_update": step}
            repeated.append(trainer.train(round_=round_, start=start, **place))

    assert {sample.digest for sample in repeated} == {start}
    assert {sample.noise for sample in repeated} == {samples[-1].noise}
    levels = {sample.loss.level(0.5) for sample in samples if sample.loss is not None}
    assert len({sample.noise for sample in samples}) == len(levels) > 1


def test_missing_snapshot_or_checkpoint_is_a_storage_error(tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path)
    start = trainer.initial().digest
    assert start is not None

    with pytest.raises(StorageError, match="no snapshot of round 1 at step 3"):
        trainer.train(round_=1, start=start, from_step=3, to_step=6, first_update=3)
    with pytest.raises(StorageError, match="not in the store"):
        trainer.train(round_=1, start="0" * 64, from_step=0, to_step=6, first_update=3)
    with pytest.raises(StorageError, match="not in the store"):
        trainer.score("0" * 64)


def test_model_other_than_the_agreed_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TensorError, match="not the one agreed on"):
        trainer_in(tmp_path, ToyTask(width=9)).initial()


def broken(method: str, result: Callable[..., Any]) -> Task:
    task = ToyTask()
    setattr(task, method, result)
    return task


def raising(*_: object) -> Any:
    raise KeyError("age")


@pytest.mark.parametrize("method", ["build_model", "build_optimizer", "train", "losses", "metrics"])
def test_exception_in_the_task_names_the_method_and_keeps_its_cause(
    tmp_path: Path, method: str
) -> None:
    start = trainer_in(tmp_path).initial().digest
    assert start is not None
    trainer = trainer_in(tmp_path, broken(method, raising))

    def job() -> object:
        if method == "metrics":
            return trainer.metrics(start)
        return trainer.train(round_=1, start=start, from_step=0, to_step=1, first_update=0)

    with pytest.raises(TaskError, match=rf"task's {method}\(\) raised KeyError: 'age'") as caught:
        job()

    assert isinstance(caught.value.__cause__, KeyError)
    assert "test_trainer.py, line" in caught.value.hint


def test_lack_of_accelerator_memory_gets_a_hint_of_its_own(tmp_path: Path) -> None:
    def full(_: nn.Module) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TaskError, match="ran out of memory") as caught:
        trainer_in(tmp_path, broken("losses", full)).initial()

    assert "batch_size" in caught.value.hint


def test_snapshot_of_another_start_is_not_resumed_from(tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path)
    start = trainer.initial().digest
    assert start is not None
    job = {"round_": 1, "first_update": 0}
    other = trainer.train(start=start, from_step=0, to_step=3, **job).digest
    assert other is not None

    with pytest.raises(StorageError, match="no snapshot"):
        trainer.train(start=other, from_step=3, to_step=6, **job)


def test_metrics_must_be_names_and_numbers(tmp_path: Path) -> None:
    start = trainer_in(tmp_path).initial().digest
    assert start is not None
    for wrong in (None, {"accuracy": "high"}):
        task = broken("metrics", lambda _, wrong=wrong: wrong)

        with pytest.raises(TaskError, match="metrics"):
            trainer_in(tmp_path, task).metrics(start)
    assert trainer_in(tmp_path).metrics(start).keys() == {"accuracy"}


def test_initial_model_must_be_finite(tmp_path: Path) -> None:
    def poisoned() -> nn.Module:
        model = ToyTask().build_model()
        nn.init.constant_(model.get_parameter("0.bias"), float("nan"))
        return model

    with pytest.raises(TaskError, match="not finite"):
        trainer_in(tmp_path, broken("build_model", poisoned)).initial()


class Sampling(ToyTask):
    """Its loss draws random numbers, as that of a policy or a variational model does."""

    def losses(self, model: nn.Module) -> Iterator[Tensor]:
        for losses_B in super().losses(model):
            yield losses_B + torch.rand_like(losses_B)

    def metrics(self, model: nn.Module) -> Mapping[str, float]:
        return {"draw": float(torch.rand(()))}


def test_loss_that_draws_samples_is_still_a_function_of_the_model(tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path, Sampling())
    first = trainer.initial()
    assert first.digest is not None

    assert trainer.score(first.digest) == first.loss
    assert trainer.metrics(first.digest) == trainer.metrics(first.digest)


def test_evaluation_that_becomes_hopeless_returns_nothing(tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path)
    sample = trainer.initial()
    assert sample.digest is not None
    assert sample.loss is not None
    bound = sample.loss.total / 2

    assert trainer.score(sample.digest, hopeless=lambda total: total > bound) is None
    assert trainer.score(sample.digest, hopeless=lambda _: False) == sample.loss
    assert local_loss(ToyTask(), ToyTask().build_model(), hopeless=lambda _: True) is None


def test_memory_does_not_grow_with_the_number_of_checkpoints(tmp_path: Path) -> None:
    task = ToyTask(width=10_000)
    trainer = Trainer(
        task,
        store=CheckpointStore(tmp_path / "spool"),
        snapshots=tmp_path / "snapshots",
        spec=model_spec(task.build_model(), wire_dtype="bfloat16"),
        seed=1,
        noise_seed=bytes(16),
        clip=None,
        party="learner",
    )
    start = trainer.initial().digest
    assert start is not None
    sizes = []

    for step in range(12):
        sample = trainer.train(
            round_=1, start=start, from_step=step, to_step=step + 1, first_update=step
        )
        assert sample.digest is not None
        trainer.score(sample.digest)
        gc.collect()
        kinds = (torch.Tensor, torch.nn.Parameter)
        alive = (found for found in gc.get_objects() if type(found) in kinds)
        dense = (tensor for tensor in alive if tensor.layout is torch.strided)
        sizes.append(sum(tensor.numel() * tensor.element_size() for tensor in dense))

    assert sizes[-1] <= sizes[2]
