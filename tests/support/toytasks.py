"""Tasks for tests: an honest toy, and ones that try what a task must not."""

import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import torch
from patience import until
from torch import nn

from assistlearn.tasks import arrays

FEATURES = 8
SLOW_S = 12  # longer than the deadlines of 10 s that it is used with


class Toy:
    """A linear model over the arrays of an NPZ file."""

    def __init__(self, train, seed):
        with np.load(train) as arrays:
            self.inputs = torch.from_numpy(arrays["inputs"])
            self.targets = torch.from_numpy(arrays["targets"])
        self.seed = seed

    def build_model(self):
        return nn.Linear(FEATURES, 2)

    def build_optimizer(self, model):
        return torch.optim.SGD(model.parameters(), lr=0.05)

    def train(self, model, optimizer, steps):
        for step in steps:
            rows = torch.arange(step * 8, step * 8 + 8) % len(self.inputs)
            optimizer.zero_grad()
            self.each(model, rows).mean().backward()
            optimizer.step()

    def losses(self, model):
        yield self.each(model, torch.arange(len(self.inputs)))

    def metrics(self, model):
        return {}

    def each(self, model, rows):
        return nn.functional.cross_entropy(
            model(self.inputs[rows]), self.targets[rows], reduction="none"
        )


class Slow(Toy):
    """Takes its time over the first updates."""

    def train(self, model, optimizer, steps):
        if steps.start == 0:
            time.sleep(SLOW_S)
        super().train(model, optimizer, steps)


class Talking(Toy):
    """Shows its data on standard output, and as a figure for people."""

    def train(self, model, optimizer, steps):
        print(self.inputs[0].numpy().tobytes().hex(), flush=True)  # noqa: T201
        super().train(model, optimizer, steps)

    def metrics(self, model):
        return {self.inputs[0].numpy().tobytes().hex(): 1.0}


class Weights(Toy):
    """Overwrites a layer with a record."""

    def train(self, model, optimizer, steps):
        super().train(model, optimizer, steps)
        with torch.no_grad():
            model.weight[0] = self.inputs[0]


class Buffers(Toy):
    """Carries a record in buffers that the model specification lists."""

    def build_model(self):
        model = super().build_model()
        model.register_buffer("notes", torch.zeros(FEATURES))
        model.register_buffer("seen", torch.zeros(FEATURES, dtype=torch.int64))
        return model

    def train(self, model, optimizer, steps):
        super().train(model, optimizer, steps)
        model.notes.copy_(self.inputs[0])
        model.seen.copy_((self.inputs[0] * 1e6).long())


class Extra(Toy):
    """Adds a tensor to the model that nobody agreed on."""

    def train(self, model, optimizer, steps):
        super().train(model, optimizer, steps)
        model.register_buffer("extra", self.inputs[0].clone())


class Huge(Toy):
    """Hides a record in values far beyond what a model that trains would have."""

    def train(self, model, optimizer, steps):
        super().train(model, optimizer, steps)
        with torch.no_grad():
            model.weight[0] = self.inputs[0] * 1e9


class Raising(Toy):
    """Puts a record into the text of an error."""

    def train(self, model, optimizer, steps):
        raise ValueError(f"cannot train on {self.inputs[0].tolist()}")


class Downloading(Toy):
    """Fetches something while it trains."""

    def train(self, model, optimizer, steps):
        urllib.request.urlopen("http://127.0.0.1:9/data", timeout=1)


class Held:
    """Any task, but that it waits where a test says so: :meth:`TwoParties.hold`."""

    def __init__(self, task, folder):
        self.task = task
        self.folder = folder

    def __getattr__(self, name):
        return getattr(self.task, name)

    def train(self, model, optimizer, steps):
        self.wait(steps.start)
        self.task.train(model, optimizer, steps)

    def losses(self, model):
        self.wait("losses")
        return self.task.losses(model)

    def wait(self, where):
        file = self.folder / str(where)
        until(lambda: not file.exists())


KINDS = {
    kind.__name__.lower(): kind
    for kind in (Toy, Slow, Talking, Weights, Buffers, Extra, Huge, Raising, Downloading)
}


def make(*, train: str, hold: str, kind: str = "toy", probe: str = "", seed: int = 0):
    """A task of a kind; ``probe`` names a function below to be called first."""
    if probe:
        getattr(sys.modules[__name__], probe)()
    return Held(KINDS[kind](Path(train), seed), Path(hold))


def held_arrays(*, hold: str, **settings):
    """The library's own task over arrays."""
    return Held(arrays(**settings), Path(hold))


def connect_out():
    import socket  # noqa: PLC0415

    socket.create_connection(("127.0.0.1", 9), timeout=1)


def look_up_host():
    import socket  # noqa: PLC0415

    socket.getaddrinfo("example.org", 80)


def look_up_name():
    import socket  # noqa: PLC0415

    socket.getnameinfo(("127.0.0.1", 80), 0)


def send_datagram():
    import socket  # noqa: PLC0415

    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))


def open_port():
    import socket  # noqa: PLC0415

    socket.socket().bind(("127.0.0.1", 0))
