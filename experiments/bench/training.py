"""Row ``training``: training inside a party, beside a plain PyTorch loop."""

import copy
import time
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim import SGD

from assistlearn.checkpoints import CheckpointStore
from assistlearn.checkpoints.tensors import model_spec, save_checkpoint
from assistlearn.tasks import ShuffledEpochs
from assistlearn.training import Trainer
from assistlearn.training.snapshots import save_snapshot
from experiments.bench.plan import Plan
from experiments.bench.table import Line, Result, ratio
from experiments.bench.toy import noise, noise_images

MODEL: Final = "alexnet32"
EXAMPLES: Final = 1024
BATCH: Final = 64
GOAL: Final = 1.05
WARM_UP: Final = 2  # updates


class PlainLoop:
    """What somebody would write without this project."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.model = noise_images(model=MODEL, examples=EXAMPLES).build_model()
        self.optimizer = SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        self.inputs, self.targets = noise(EXAMPLES, 0)
        self.order = ShuffledEpochs(count=EXAMPLES, batch_size=BATCH, seed=0)
        self.folder = folder

    def segment(self, updates: range) -> float:
        """Seconds of some updates and of writing the checkpoint after them."""
        started = time.perf_counter()
        self.model.train()
        for update in updates:
            numbers = self.order.numbers(update)
            outputs = self.model(self.inputs[numbers])
            loss = nn.functional.cross_entropy(outputs, self.targets[numbers])
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        save_file(self.model.state_dict(), self.folder / f"{updates.stop}.safetensors")
        return time.perf_counter() - started


def measure(plan: Plan) -> Result:
    """Segments of either in turn; in one thread, as two wait for each other on a busy machine."""
    torch.set_num_threads(1)
    steps, repeats = (4, 1) if plan.quick else (30, 3)
    task = noise_images(model=MODEL, examples=EXAMPLES, batch_size=BATCH)
    store = CheckpointStore(plan.folder / "store")
    spec = model_spec(task.build_model())
    trainer = Trainer(
        task,
        store=store,
        snapshots=plan.folder / "snapshots",
        spec=spec,
        seed=0,
        noise_seed=bytes(32),
        clip=None,
        party="learner",
    )
    start = trainer.initial().digest
    assert start is not None
    plain = PlainLoop(plan.folder)
    times: dict[str, list[float]] = {"saved": [], "party": [], "loss": []}
    done = 0
    for number in range(repeats + 1):
        length = steps if number else WARM_UP  # the first builds model and optimiser anew
        saved = plain.segment(range(done, done + length))
        started = time.perf_counter()
        sample = trainer.train(
            round_=1, start=start, from_step=done, to_step=done + length, first_update=done
        )
        whole = time.perf_counter() - started
        done += length
        assert sample.digest is not None
        task.loss_seconds = 0.0  # again, alone: beside it the snapshot was written
        trainer.score(sample.digest)
        found = (saved, whole - task.loss_seconds, task.loss_seconds)
        for name, value in zip(times, found, strict=True):
            times[name] += [value] if number else []
    return _result(times, steps=steps, keeping=_keeping(plan, plain, store))


def _result(
    times: dict[str, list[float]], *, steps: int, keeping: tuple[float, float, float]
) -> Result:
    over_file = ratio(times["party"], times["saved"])
    megabytes = sum(p.nbytes for p in noise_images(model=MODEL).build_model().parameters()) / 1e6
    return Result(
        name="training",
        title=f"{steps} updates of {MODEL}, batch {BATCH}, and the checkpoint of {megabytes:.0f} MB"
        " after them, one thread",
        lines=(
            Line(what="plain loop with save_file", unit="s", values=tuple(times["saved"])),
            Line(
                what="Trainer.train, without the local loss",
                unit="s",
                values=tuple(times["party"]),
                beside=f"{over_file:.3f} x the plain loop",
                goal=f"<= {GOAL:g} x plain",
                holds=over_file <= GOAL,
            ),
            Line(
                what=f"local loss over {EXAMPLES} examples", unit="s", values=tuple(times["loss"])
            ),
            Line(what="a deep copy instead of a file", unit="s", values=(keeping[0],)),
            Line(what="the party's checkpoint, hashed and on disk", unit="s", values=(keeping[1],)),
            Line(what="the party's snapshot, on disk", unit="s", values=(keeping[2],)),
        ),
        notes=(
            (
                "The local loss belongs to the algorithm (every sampled model is scored by its own"
                " party too), so it is not part of the comparison: it is timed again on its own and"
                " taken off. While it runs, the snapshot is written."
            ),
        ),
    )


def _keeping(plan: Plan, plain: PlainLoop, store: CheckpointStore) -> tuple[float, float, float]:
    clock = [time.perf_counter()]
    copy.deepcopy(plain.model.state_dict())
    clock.append(time.perf_counter())
    save_checkpoint(plain.model, model_spec(plain.model), store)
    clock.append(time.perf_counter())
    save_snapshot(plan.folder / "snapshot", plain.model, plain.optimizer)
    clock.append(time.perf_counter())
    first, second, third = (after - before for before, after in pairwise(clock))
    return first, second, third
