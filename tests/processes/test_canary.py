"""Planted records: no byte of them leaves a house, and the search for them is not blind."""

import csv
import os
import threading
from contextlib import suppress

import numpy as np
import pytest
from canaries import WORDS, Canaries
from patience import until
from proxy import Proxy
from twoparties import LEARNER, PROVIDER, TwoParties

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # seconds; the first test's include the fixture that all share
]

FEATURES = [f"f{number}" for number in range(8)]


class Hoarder:
    """Keeps every checkpoint file that is ever seen in a party's rounds, as another link."""

    def __init__(self, home, cellar):
        self.home = home
        self.cellar = cellar
        cellar.mkdir()
        self._seen = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        while not self._stop.wait(0.003):
            with suppress(OSError):
                self._look()

    def _look(self):
        for path in self.home.glob("rounds/*/spool/**/*"):
            with suppress(OSError):
                inode = path.stat().st_ino
                if path.is_file() and inode not in self._seen:
                    os.link(path, self.cellar / f"{len(self._seen)}-{path.name[-60:]}")
                    self._seen.add(inode)

    def close(self):
        self._stop.set()
        self._thread.join()


class World:
    """Two parties with canaries in their data, and every tap there is."""

    def __init__(self, root, *, plant, **settings):
        self.root = root
        self.proxy = Proxy(record=True)
        self.canaries = {role: Canaries() for role in (LEARNER, PROVIDER)}
        root.mkdir(exist_ok=True)
        data = {role: plant(root, role, self.canaries[role]) for role in self.canaries}
        self.parties = TwoParties(root, through=self.proxy.port, data=data, **settings)
        self.proxy.target = self.parties.port
        self.hoarders = {
            role: Hoarder(self.parties.home(role), root / f"cellar-{role.value}")
            for role in (LEARNER, PROVIDER)
        }

    def play(self, **changes):
        provider = self.parties.provide()
        learner, _ = self.learn(**changes)
        assert learner.wait() == 0
        provider.stop()

    def learn(self, *, arriving=0, name=None):
        """A learner, and what the provider keeps of it.

        Args:
            arriving: checkpoints that certainly come to the provider, which looks at none (if its
                task is one that can be held) before so many are hoarded.
            name: the learner's.
        """
        hold = self.parties.hold(PROVIDER, "losses")
        cellar = self.hoarders[PROVIDER].cellar
        before = set(cellar.iterdir())
        learner = self.parties.start(LEARNER, name=name)
        until(lambda: len(set(cellar.iterdir()) - before) >= arriving)
        hold.unlink()
        learner.wait()
        return learner, set(cellar.iterdir()) - before

    def places(self, role):
        """What others can see of ``role``: the wire, the peer's house, and what it prints."""
        own, peer = self.parties.home(role), self.parties.home(role.peer)
        yield from (("wire", bytes(tape)) for tape in self.proxy.tape.values())
        yield from (("said", path.read_bytes()) for path in self.root.glob(f"{own.name}.*"))
        yield from (("peer said", path.read_bytes()) for path in self.root.glob(f"{peer.name}.*"))
        for top in (peer, self.hoarders[role.peer].cellar):
            for path in top.rglob("*"):
                if path.is_file():
                    yield "peer's house", path.read_bytes()
                    yield "peer's names", path.name.encode()

    def close(self):
        self.parties.close()
        self.proxy.close()
        for hoarder in self.hoarders.values():
            hoarder.close()


def row_of(role):
    """Eight numbers between 1 and 2 that occur nowhere else."""
    return np.random.default_rng(4000 + len(role.value)).uniform(1, 2, 8).astype("float32")


def plant_table(root, role, canaries):
    """A CSV file with a telling name, an identifier for each row, and one row to look for."""
    word = WORDS[0] if role is LEARNER else WORDS[1]
    rng = np.random.default_rng(len(role.value))
    path = root / f"{word}-patients.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *FEATURES, "label"])
        for number in range(80):
            row = row_of(role) if number == 0 else rng.normal(size=8).astype("float32")
            writer.writerow([f"{word}-{number:04}", *map(repr, map(float, row)), number % 2])
    canaries.text("file", path.name)
    canaries.text("word", word)
    canaries.numbers("row", row_of(role))
    return path


def plant_images(root, role, canaries):
    """Grey images of 8-bit pixels, and labels that are numbers of their own."""
    rng = np.random.default_rng(77 + len(role.value))
    images = rng.integers(0, 256, size=(60, 1, 8, 8), dtype=np.uint8)
    targets = rng.uniform(1, 2, size=60).astype("float32")
    path = root / f"{WORDS[2 if role is LEARNER else 3]}.npz"
    np.savez(path, inputs=images, targets=targets)
    for number in (0, 30, 59):
        canaries.image(f"image {number}", images[number].ravel()[20:44])
    canaries.numbers("labels", targets[:4])
    canaries.text("file", path.stem)
    return path


def plant_arrays(root, role, canaries):
    """An NPZ file whose first record is the one to look for."""
    rng = np.random.default_rng(len(role.value))
    inputs = rng.normal(size=(64, 8)).astype("float32")
    inputs[0] = row_of(role)
    path = root / f"{role.value}-data.npz"
    np.savez(path, inputs=inputs, targets=(inputs.sum(axis=1) > 0).astype("int64"))
    canaries.numbers("row", row_of(role))
    return path


HONEST = {
    "table": (
        plant_table,
        {
            "task": {"factory": "assistlearn.tasks:table"},
            "recipe": {"target": "label", "features": FEATURES, "classes": [0, 1]},
        },
    ),
    "images": (
        plant_images,
        {
            "recipe": {"task": "regression", "std": 255.0, "optimizer_settings": {"lr": 0.001}},
            "terms": {"loss": "mse"},
        },
    ),
}


@pytest.mark.parametrize("kind", HONEST)
def test_nothing_of_any_record_label_or_file_name_leaves_either_house(kind, tmp_path):
    plant, settings = HONEST[kind]
    world = World(tmp_path / "w", plant=plant, **settings)
    try:
        world.play()

        for role, canaries in world.canaries.items():
            seen = list(world.places(role))
            assert {name for name, _ in seen} >= {"wire", "said", "peer's house"}
            assert sum(name == "peer's house" for name, _ in seen) > 8
            assert canaries.search(seen) == []
        # The files themselves are full of what was looked for: the search is not blind.
        for role, canaries in world.canaries.items():
            own = world.parties.data[role]
            content = [("own", own.read_bytes()), ("own", own.name.encode())]
            assert canaries.search(content)
    finally:
        world.close()


def test_buffers_on_the_list_are_searched_in_what_the_peer_keeps(tmp_path):
    world = World(
        tmp_path / "w",
        plant=plant_arrays,
        task={"factory": "toytasks:make"},
        recipe={"kind": "buffers"},
        terms={"rounds": 1},
    )
    try:
        world.play(arriving=3)

        hits = world.canaries[LEARNER].search(world.places(LEARNER))

        assert ("peer's house", "row <f4 raw") in hits
        assert ("peer's house", "row x1e+06 <i8") in hits
        assert all(place == "peer's house" for place, _ in hits)  # and never in the clear
    finally:
        world.close()


@pytest.fixture(scope="module")
def rigged(tmp_path_factory):
    """Learners whose tasks leak, each in its own way, at one honest provider."""
    kinds = {"talking": 3, "weights": 3, "extra": 0, "huge": 1, "raising": 0}  # how many arrive
    world = World(
        tmp_path_factory.mktemp("rigged") / "w",
        plant=plant_arrays,
        names=tuple(kinds),
        sessions=len(kinds),
        task={"factory": "toytasks:make"},
        terms={"rounds": 1},
    )
    try:
        for kind in kinds:
            world.parties.write(LEARNER, kind, kind=kind)
        world.parties.provide()
        ended = {}
        for kind, arriving in kinds.items():
            world.parties.homes[LEARNER] = world.root / kind
            marks = {way: len(tape) for way, tape in world.proxy.tape.items()}
            learner, kept = world.learn(arriving=arriving, name=kind)
            seen = [("wire", bytes(tape[marks[way] :])) for way, tape in world.proxy.tape.items()]
            seen += [("said", path.read_bytes()) for path in world.root.glob(f"{kind}.*")]
            seen += [("peer's house", path.read_bytes()) for path in kept]
            seen.append(("peer said", (world.root / "radlab.log").read_bytes()))
            ended[kind] = (learner.wait(), learner, world.canaries[LEARNER].search(seen))
        yield ended
    finally:
        world.close()


def test_a_task_that_prints_its_data_is_caught_in_what_the_party_itself_shows(rigged):
    code, _, hits = rigged["talking"]

    assert code == 0
    assert {place for place, _ in hits} == {"said"}
    assert ("said", "row <f4 hex") in hits


def test_a_record_written_into_the_weights_is_caught_in_what_the_peer_keeps(rigged):
    code, _, hits = rigged["weights"]

    assert code == 0
    assert ("peer's house", "row <f4 raw") in hits
    assert "wire" not in {place for place, _ in hits}


def test_a_tensor_that_nobody_agreed_on_is_refused_by_its_sender(rigged):
    code, learner, hits = rigged["extra"]

    assert code == 34
    assert "it also has a tensor extra" in learner.error["error"]
    assert hits == []


def test_values_beyond_the_bound_are_withheld_by_their_sender(rigged):
    code, _, hits = rigged["huge"]

    assert code == 0  # told of as diverged, without tensors
    assert hits == []


def test_a_record_in_an_error_is_shown_at_home_only(rigged):
    code, learner, hits = rigged["raising"]

    assert code == 11
    assert "cannot train on" in learner.error["error"]
    assert {place for place, _ in hits} == {"said"}
