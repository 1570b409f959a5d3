"""Two parties as they really run: directories, keys, data and processes of their own.

Everything is on 127.0.0.1. Nothing here waits for a time to pass: every wait is for an event,
with a limit that only stops a hang.
"""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import tomllib
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from patience import PATIENCE_S

from assistlearn.bundle import Card
from parties.directory import PartyDirectory
from parties.setup import add_peer, make_party
from protocols.record import decode_record
from protocols.roles import Role

ROOT = Path(__file__).parents[2]
SUPPORT = Path(__file__).parent
LEARNER, PROVIDER = Role.LEARNER, Role.PROVIDER
TERMS = {
    "task": "toy",
    "rounds": 2,
    "learner_steps": 40,
    "provider_steps": 60,
    "sampling_period": 20,
    "loss_precision": "exact",
}
TASK = {"factory": "assistlearn.tasks:arrays", "threads": 1, "device": "cpu", "seed": 3}
RECIPE = {"model": "mlp", "optimizer_settings": {"lr": 0.05}, "batch_size": 16}


def reserve_port():
    """A socket that keeps a port for a provider that is yet to start, and for its restarts.

    It does not listen. On Linux ZeroMQ, which sets the same option, may listen there all the
    same, and nobody else is given the port. Other systems would not let ZeroMQ: no keeping there.
    """
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    return keeper


def free_port():
    """A port that nobody listens on now."""
    with closing(reserve_port()) as probe:
        return probe.getsockname()[1]


def write_whole(path, content):
    """Write a file so that whoever reads it meanwhile sees the old bytes or all of the new."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    new.replace(path)


def toy_data(path, *, count, seed=0):
    """A linear problem of two classes in 8 dimensions."""
    rng = np.random.default_rng([seed, count])
    inputs = rng.normal(size=(count, 8)).astype("float32")
    targets = (inputs @ (np.arange(8) - 3.5) > 0).astype("int64")
    np.savez(path, inputs=inputs, targets=targets)
    return path


def toml(value):
    """A value as TOML writes it, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value)


class Process:
    """A command of ours while it runs. Its JSON lines become ``events`` as they come."""

    def __init__(self, arguments, *, folder, log, environment):
        self.log = log
        self.events = []
        self._news = threading.Condition()
        with log.open("ab") as errors:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "parties", *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{SUPPORT}", **environment},
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with self.popen.stdout as lines, self.log.with_suffix(".out").open("ab") as copy:
            for line in lines:
                copy.write(line)
                with self._news:
                    self.events.append(json.loads(line))
                    self._news.notify_all()
        with self._news:
            self.events.append({"event": "ended"})
            self._news.notify_all()

    def named(self, name):
        """All events of a name so far."""
        return [each for each in self.events if each.get("event") == name]

    def wait_for(self, name, *, count=1):
        """Wait until so many events of a name have come; the last of them."""
        with self._news:
            self._news.wait_for(
                lambda: len(self.named(name)) >= count or self.named("ended"), PATIENCE_S
            )
        found = self.named(name)
        assert len(found) >= count, f"no {name!r}: {self.events} {self.log.read_text()}"
        return found[count - 1]

    def wait(self):
        """Wait until the command ends; its exit code."""
        code = self.popen.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    @property
    def alive(self):
        return self.popen.poll() is None

    @property
    def error(self):
        """The last line, when the command ended with an error."""
        return next(each for each in reversed(self.events) if "exit_code" in each)

    def workers(self):
        """The processes that have the data."""
        found = []
        with suppress(psutil.NoSuchProcess):  # the gate has just ended
            for child in psutil.Process(self.popen.pid).children():
                with suppress(psutil.NoSuchProcess):  # or the child
                    found += [child] if "parties.worker" in child.cmdline() else []
        return found

    def kill(self):
        """As a power cut would end it."""
        self.popen.kill()
        return self.wait()

    def stop(self):
        """As a person would end it."""
        if self.alive:
            self.popen.send_signal(signal.SIGTERM)
        return self.wait()


@dataclass
class TwoParties:
    """A learner's and a provider's directory, and the processes started in them."""

    root: Path
    terms: dict = field(default_factory=dict)
    recipe: dict = field(default_factory=dict)
    task: dict = field(default_factory=dict)
    shares: dict | None = None
    """Settings of a task that divides one data set, instead of a file and a recipe."""
    deadline_s: float = 120.0  # a busy machine may start one of the two much later than the other
    sessions: int = 1
    through: int | None = None
    """Port that the learner calls, where it is not the provider's own."""
    learner_extra: dict = field(default_factory=dict)
    """Changes to the learner's settings alone, by section."""
    data: dict = field(default_factory=dict)
    names: tuple = ("clinic",)
    environment: dict = field(default_factory=dict)

    def __post_init__(self):
        self.root.mkdir(parents=True, exist_ok=True)
        self._keeper = reserve_port()
        self.port = self._keeper.getsockname()[1]
        if sys.platform != "linux":
            self._keeper.close()
        self.processes = []
        self.homes = {PROVIDER: self.root / "radlab"}
        radlab = make_party(
            self.home(PROVIDER), role=PROVIDER, name="radlab", config=self.config(PROVIDER)
        )
        for name in self.names:
            self.join(name, radlab)
        self.homes[LEARNER] = self.root / self.names[0]

    def join(self, name, provider: Card, *, known=True):
        """Make a learner's directory; introduce the two to each other."""
        card = make_party(
            self.root / name, role=LEARNER, name=name, config=self.config(LEARNER, name)
        )
        add_peer(PartyDirectory(self.root / name), provider)
        if known:
            add_peer(PartyDirectory(self.home(PROVIDER)), card)
        return card

    def home(self, role):
        return self.homes[role]

    def config(self, role, name="radlab"):
        """A party's settings file."""
        data = self.data.get(role) or toy_data(
            self.root / f"{name}.npz", count=200 if role is PROVIDER else 60
        )
        host = "tcp://127.0.0.1"
        own_link = (
            {"listen": f"{host}:{self.port}", "sessions": self.sessions}
            if role is PROVIDER
            else {"provider": f"{host}:{self.through or self.port}"}
        )
        sections = {
            "terms": {**TERMS, **self.terms},
            "task": {**TASK, **self.task},
            "link": {**own_link, "deadline_s": self.deadline_s},
        }
        factory = sections["task"]["factory"]
        own = {} if factory == "toytasks:make" else RECIPE
        hold = {"hold": self._hold(role)} if factory.startswith("toytasks:") else {}
        sections["task"]["settings"] = (
            {"train": data, **own, **hold, **self.recipe}
            if self.shares is None
            else {**self.shares, "party": role.value}
        )
        if role is LEARNER:
            for section, changes in self.learner_extra.items():
                sections[section] = {**sections[section], **changes}
        lines = [f"role = {toml(role.value)}"]
        for section, values in sections.items():
            lines.append(f"[{section}]")
            lines += [f"{key} = {toml(value)}" for key, value in values.items()]
        return "\n".join(lines) + "\n"

    def write(self, role, name=None, **recipe):
        """Write a party's settings again, with changes to those of its task."""
        home = self.home(role) if name is None else self.root / name
        plain, self.recipe = self.recipe, {**self.recipe, **recipe}
        write_whole(home / "config.toml", self.config(role, home.name).encode())
        self.recipe = plain

    def hold(self, role, where):
        """Make the toy tasks of a side wait until the returned file is deleted.

        Args:
            role: the side.
            where: an update that a training begins at, or "losses".
        """
        file = self._hold(role) / str(where)
        file.parent.mkdir(exist_ok=True)
        file.touch()
        return file

    def _hold(self, role):
        return self.root / f"hold-{role.value}"

    def start(self, role, *arguments, name=None, environment=None):
        """Start ``provide`` or ``learn``."""
        home = self.home(role) if name is None else self.root / name
        command = "provide" if role is PROVIDER else "learn"
        process = Process(
            [command, str(home), "--json", *arguments],
            folder=self.root,
            log=self.root / f"{home.name}.log",
            environment={**self.environment, **(environment or {})},
        )
        self.processes.append(process)
        return process

    def provide(self):
        """Start the provider, and wait until it listens."""
        process = self.start(PROVIDER)
        process.wait_for("listening")
        return process

    def result(self, name="clinic"):
        """What the card of the learner's best model says."""
        return tomllib.loads((self.root / name / "models" / "assisted.toml").read_text())

    def ledger(self, role, peer=None):
        """Rows of a party's ledger, read while it may be in use: kind, session, body."""
        own_peer = "radlab" if role is LEARNER else (peer or self.names[0])
        home = self.home(LEARNER) if role is LEARNER else self.home(PROVIDER)
        if role is LEARNER and peer is not None:
            home = self.root / peer
        return ledger_rows(home, own_peer)

    def verify(self, role, name=None):
        """Exit code and output of ``assistlearn audit verify``."""
        home = self.home(role) if name is None else self.root / name
        done = subprocess.run(
            [sys.executable, "-m", "parties", "audit", "verify", str(home)],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        return done.returncode, done.stdout + done.stderr

    def close(self):
        """End whatever is still running."""
        for process in self.processes:
            for worker in process.workers() if process.alive else ():
                with suppress(psutil.NoSuchProcess):
                    worker.kill()
            process.popen.kill()
            process.wait()
        self._keeper.close()


def ledger_file(home, peer):
    """The one ledger that is kept with a peer of this name, or a path of no file."""
    found = list((home / "ledger").glob(f"{peer}-*.sqlite"))
    assert len(found) <= 1
    return found[0] if found else home / "ledger" / "none"


def ledger_rows(home, peer):
    """All entries: kind, session, body. Nothing if there is no ledger yet."""
    path = ledger_file(home, peer)
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT kind, session, body FROM entry ORDER BY i").fetchall()
    except sqlite3.OperationalError:
        return []


def recorded_events(rows):
    """How often each kind of event was recorded, by name; samples by round come from messages."""
    return Counter(type(decode_record(body)).__name__ for kind, _, body in rows if kind == "event")
