"""Learning to help, what is trained once for each seed: clients, the server, what was seen of it.

The server model never sees rejector, costs or S (arXiv:2501.13810), so one training of it serves
every setting. The library's own loop trains it; :class:`Recorder` notes which training examples it
gets right in the eyes of a client that fetches its state every S iterations, for several S at once.

Letters: N training, C calibration, T test examples; K classes; V views of the server, E epochs.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import SGD

from assistlearn.deferral.help import HelpCosts, rejector_surrogate
from assistlearn.deferral.help_training import Batch, LiveServer, ServerCopy, train_help
from assistlearn.deferral.rejectors import cross_fitted_outputs
from assistlearn.deferral.rejectors.modules import ImageRejector
from assistlearn.durable import disk_errors
from assistlearn.randomness import seed_torch
from experiments.deferral.devices import CPU, placed
from experiments.deferral.help_pictures import Split
from experiments.deferral.help_setup import (
    MISSING_CLASS,
    MOMENTUM,
    Classifier,
    Scale,
    epoch_order,
    lenet,
    logits,
    rejector_optimizer,
    server_network,
)

TABLE_1: Final = HelpCosts(query_cost=0.25, server_error_cost=1.25)
Interval = int | Literal["epoch"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Client:
    """Logits of a client model. Shapes ``(N, K)``, ``(C, K)``, ``(T, K)``."""

    train: Tensor
    """Of the client itself on its own training examples."""
    calibration: Tensor
    test: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Server:
    """Whether the server model is right."""

    seen: Tensor
    """In the eyes of a client when the rejector met the training example. Shape ``(V, E, N)``; V
    as in :func:`views`."""
    unseen: Tensor
    """On training examples, of server models trained in the same way on others. ``(N,)``."""
    calibration: Tensor
    test: Tensor
    together: Tensor
    """Test scores of the published rejector (S = 1, costs of Table 1), trained beside it; its
    decisions are compared with those of the same rejector trained afterwards. ``(T, 2)``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """All that does not depend on costs or rejectors, for one data set and seed."""

    client: Client
    lacking: Client
    """Of a client that was trained without one class."""
    server: Server
    unseen_client: Tensor
    """Logits on the training examples of clients that are trained like ``client``, but on others.
    Shape ``(N, K)``."""


def views(scale: Scale) -> tuple[Interval, ...]:
    """S of the recorded views: 1 (synchronous), two between, once an epoch."""
    return (1, *scale.intervals, "epoch")


class Recorder:
    """The live server for the loop that trains it; beside it, what staler views would say."""

    def __init__(self, model: nn.Module, scale: Scale, *, device: torch.device = CPU) -> None:
        self._live = LiveServer(model)
        self._copies: Mapping[Interval, ServerCopy] = {
            each: ServerCopy(model) for each in views(scale)[1:]
        }
        self._iterations = -(-scale.images // scale.batch_size)
        self._count = 0
        shape = (len(views(scale)), scale.epochs, scale.images)
        self.seen = torch.zeros(shape, dtype=torch.bool, device=device)

    def refresh(self) -> None:
        """One more iteration, after the server's step: bring those views up to date that are due.

        As in :func:`.train_help`, whose iterations are counted anew in each epoch.
        """
        iteration = self._count % self._iterations
        last = iteration == self._iterations - 1
        self._count += 1
        for interval, each in self._copies.items():
            if last if interval == "epoch" else iteration % interval == 0:
                each.refresh()

    def is_right(self, batch: Batch) -> Tensor:
        """Of the live server; what the others say is noted."""
        epoch = (self._count - 1) // self._iterations
        right_B = self._live.is_right(batch)
        stale = [each.is_right(batch) for each in self._copies.values()]
        self.seen[:, epoch, batch.indices] = torch.stack([right_B, *stale])
        return right_B


class Epochs:
    """Batches of the training examples, in the next epoch's order each time they are gone through.

    The same orders as those in which rejectors are trained afterwards.
    """

    def __init__(self, data: Split, batch_size: int, *, seed: int) -> None:
        self._data, self._batch_size, self._seed = data, batch_size, seed
        self._epoch = 0

    def __iter__(self) -> Iterator[Batch]:
        order = epoch_order(len(self._data.train), seed=self._seed, epoch=self._epoch)
        self._epoch += 1
        for rows_B in torch.split(order.to(self._data.train.device), self._batch_size):
            yield Batch(rows_B, self._data.train[rows_B], self._data.train_labels[rows_B])


def new_rejector(shape: tuple[int, int, int], *, seed: int, extra: int = 0) -> ImageRejector:
    """LeNet's body with two scores; the same initial weights for every setting of a seed."""
    seed_torch(seed, "rejector")
    return ImageRejector(shape, 2, extra=extra)


def made_world(data: Split, scale: Scale, *, seed: int, device: torch.device = CPU) -> World:
    """Train clients and servers of one seed on ``device``; what they say comes back to the CPU."""
    data = placed(data, device)
    common: dict[str, Any] = {"batch_size": scale.batch_size, "seed": seed, "device": device}
    new_client = partial(
        Classifier,
        partial(lenet, data.shape),
        rate=scale.client_rate,
        epochs=scale.client_epochs,
        label="client",
        **common,
    )
    new_server = partial(
        Classifier,
        partial(server_network, data.shape, alexnet=scale.alexnet),
        rate=scale.server_rate,
        epochs=scale.epochs,
        label="server",
        **common,
    )
    client_model, client = _client(new_client(), data, data.train_labels >= 0)
    _, lacking = _client(new_client(), data, data.train_labels != MISSING_CLASS)
    server_model, seen_VEN, together_T2 = _trained_server(
        new_server().model, client_model, data, scale, seed=seed
    )
    server = Server(
        seen=seen_VEN,
        unseen=_unseen(new_server, data, scale, seed=seed).argmax(1) == data.train_labels,
        calibration=logits(server_model, data.calibration).argmax(1) == data.calibration_labels,
        test=logits(server_model, data.test).argmax(1) == data.test_labels,
        together=together_T2,
    )
    world = World(
        client=client,
        lacking=lacking,
        server=server,
        unseen_client=_unseen(new_client, data, scale, seed=seed),
    )
    return placed(world, CPU)


def _client(classifier: Classifier, data: Split, known_N: Tensor) -> tuple[nn.Module, Client]:
    """A client model trained on the examples that are ``known_N``, and what it says."""
    classifier.fit(data.train[known_N], data.train_labels[known_N])
    return classifier.model, Client(
        train=logits(classifier.model, data.train),
        calibration=logits(classifier.model, data.calibration),
        test=logits(classifier.model, data.test),
    )


def _unseen(new: Callable[[], Classifier], data: Split, scale: Scale, *, seed: int) -> Tensor:
    """Logits on every training example of a model that was not trained on it. ``(N, K)``."""
    examples = (data.train.cpu().numpy(), data.train_labels.cpu().numpy())
    found = cross_fitted_outputs(new, *examples, folds=scale.folds, seed=seed)
    return torch.from_numpy(found).to(data.train.device)


def _trained_server(
    model: nn.Module, client_model: nn.Module, data: Split, scale: Scale, *, seed: int
) -> tuple[nn.Module, Tensor, Tensor]:
    """The server model, what was seen of it, and the rejector that was trained beside it."""
    device = data.train.device
    rejector = new_rejector(data.shape, seed=seed).to(device)
    recorder = Recorder(model, scale, device=device)
    seed_torch(seed, "dropout")
    train_help(
        client_model=client_model,
        server_model=model,
        rejector=rejector,
        server_optimizer=SGD(model.parameters(), lr=scale.server_rate, momentum=MOMENTUM),
        rejector_optimizer=rejector_optimizer(rejector.parameters(), scale),
        batches=Epochs(data, scale.batch_size, seed=seed),
        rejector_loss=partial(rejector_surrogate, costs=TABLE_1),
        epochs=scale.epochs,
        server_view=recorder,
    )
    return model, recorder.seen, logits(rejector, data.test)


def kept_world(path: Path, make: Callable[[], World]) -> World:
    """The world in the file, made and written if it is not there yet."""
    if not path.exists():
        world = make()
        keep(
            path,
            {
                f"{part}.{name}": tensor.contiguous()
                for part in ("client", "lacking", "server")
                for name, tensor in asdict(getattr(world, part)).items()
            }
            | {"unseen_client": world.unseen_client},
        )
    found = load_file(path)

    def part(name: str) -> dict[str, Tensor]:
        own = (key for key in found if key.startswith(f"{name}."))
        return {key.removeprefix(f"{name}."): found[key] for key in own}

    return World(
        client=Client(**part("client")),
        lacking=Client(**part("lacking")),
        server=Server(**part("server")),
        unseen_client=found["unseen_client"],
    )


def keep(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to a file that is either whole or not there."""
    with disk_errors(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        save_file(dict(tensors), unfinished)
        unfinished.rename(path)
