"""Two parties' gates in one process: real keys, ledgers, bundles and files, but no sockets.

The link is a list of frames that a test may lose, repeat or cut; a party may be thrown away at
any moment and rebuilt from its ledger, as after kill -9.
"""

import hashlib
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pair import World, agreement

from assistlearn.bundle import Identity, cosign
from assistlearn.checkpoints import CheckpointStore, ModelSpec
from assistlearn.checkpoints.spec import DType, TensorSpec
from assistlearn.digests import digest
from assistlearn.ledger import Ledger
from parties.directory import PartyDirectory
from parties.gate.handshake import Agreed
from parties.gate.opening import Desk
from parties.gate.session import Session
from parties.secrets import SessionSecrets
from parties.setup import add_peer, make_party
from protocols.agreement import Agreement
from protocols.codec import decode_frame
from protocols.events import Sampled, Score, Started, Train
from protocols.learner import LearnerMachine, LearnerState
from protocols.roles import Role
from protocols.selection import Criterion

SAMPLES = {Role.LEARNER: 10, Role.PROVIDER: 40}


def small_spec(numbers: int = 64) -> ModelSpec:
    """A model of one tensor."""
    tensor = TensorSpec(name="weight", dtype=DType.F32, shape=(numbers,), buffer=False)
    return ModelSpec((tensor,))


def store_model(store: CheckpointStore, spec: ModelSpec, name: str) -> str:
    """Write the checkpoint that ``name`` stands for; its digest."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    count = spec.elements
    values = np.random.default_rng(seed).normal(size=count).astype("<f4")
    with store.writer() as file:
        file.write(spec.header)
        file.write(memoryview(values).cast("B"))
        return file.commit()


@dataclass
class Party:
    """One side, alive or not."""

    role: Role
    root: Path
    spec: ModelSpec
    world: World
    identity: Identity = field(init=False)
    directory: PartyDirectory = field(init=False)
    ledger: Ledger = field(init=False)
    desk: Desk = field(init=False)
    session: Session = field(init=False)

    def open(self, peer: "Party") -> None:
        self.ledger = self.directory.open_ledger(peer.identity.card)
        self.desk = Desk(
            directory=self.directory,
            identity=self.identity,
            peer=peer.identity.card,
            ledger=self.ledger,
            role=self.role,
        )

    def work(self) -> bool:
        """Do one thing that the machine wants done."""
        session = self.session
        session.forget()
        machine = session.machine
        if isinstance(machine, LearnerMachine) and machine.state is LearnerState.IDLE:
            name = store_model(session.store, self.spec, "initial")
            session.tell(Started(digest=name, loss=self.world.loss(name)))
            return True
        work = session.work
        if isinstance(work, Train):
            name = f"{self.role} {work.round} {work.start} {work.to_step}"
            found = store_model(session.store, self.spec, name)
            session.tell(
                Sampled(step=work.to_step, digest=found, loss=self.world.loss(found), noise=0.0)
            )
        elif isinstance(work, Score):
            criterion = Criterion.of(session.agreement, self.role, own_samples=self.world.samples)
            assert session.store.path(work.digest).is_file()
            session.tell(self.world.score(work, criterion, stop_early=True))
        return work is not None

    def die(self) -> None:
        """As kill -9 leaves it: nothing said, nothing closed in order but file handles."""
        self.session.suspend()
        self.ledger.close()


class House:
    """Both parties and the link between them."""

    def __init__(
        self, root: Path, *, spec: ModelSpec | None = None, seed: int = 0, **terms
    ) -> None:
        self.spec = spec or small_spec()
        self.parties = {
            role: Party(role, root / role.value, self.spec, World(role, SAMPLES[role], seed))
            for role in Role
        }
        self.wire: dict[Role, deque[bytes]] = {role: deque() for role in Role}
        """Frames on their way to a party."""
        secrets = {}
        for role, party in self.parties.items():
            make_party(party.root, role=role, name=role.value)
            party.directory = PartyDirectory(party.root)
            party.identity = party.directory.identity
            secrets[role] = SessionSecrets.draw()
        learner, provider = (self.parties[role] for role in Role)
        for party, peer in ((learner, provider), (provider, learner)):
            add_peer(party.directory, peer.identity.card)
        self.agreement: Agreement = agreement(
            learner=learner.identity.card.fingerprint,
            provider=provider.identity.card.fingerprint,
            learner_sealing_key=digest(secrets[Role.LEARNER].sealing_key.public),
            provider_sealing_key=digest(secrets[Role.PROVIDER].sealing_key.public),
            model=self.spec.digest,
            **terms,
        )
        note = learner.identity.sign(self.agreement.text())
        note = cosign(note, provider.identity)
        for role, party in self.parties.items():
            party.open(self.parties[role.peer])
            party.session = party.desk.enter(
                Agreed(
                    agreement=self.agreement,
                    note=note,
                    peer_sealing_key=secrets[role.peer].sealing_key.public,
                ),
                secrets=secrets[role],
                spec=self.spec,
                samples=SAMPLES[role],
            )

    def restart(self, role: Role) -> None:
        """Kill a party and start it again; what was on the wire to it is lost."""
        party = self.parties[role]
        if party.session.closed:  # nothing to go on with: a gate answers from its ledger alone
            self.cut()
            return
        party.die()
        self.cut()
        party.open(self.parties[role.peer])
        recorded = party.desk.recorded()[self.agreement.session]
        session = party.desk.resume(recorded)
        assert session is not None
        party.session = session
        for each in self.parties.values():
            each.session.link_restored()

    def cut(self) -> None:
        """Lose everything on the wire; both sides notice that the link is new."""
        for frames in self.wire.values():
            frames.clear()
        for party in self.parties.values():
            party.session.link_restored()

    def send(self, role: Role) -> bool:
        """Put the next frame of a party on the wire."""
        session = self.parties[role].session
        frame = session.next_frame()
        if frame is None:
            return False
        self.wire[role.peer].append(bytes(frame))
        session.frame_sent()
        return True

    def hear(self, role: Role) -> bool:
        """Let a party take in the next frame."""
        if not self.wire[role]:
            return False
        self.parties[role].session.receive(decode_frame(self.wire[role].popleft()))
        return True

    def bring_under_way(self, *, pieces: int) -> None:
        """Begin to move the learner's first checkpoint, until so many pieces of it arrived."""
        self.parties[Role.LEARNER].work()
        self.send(Role.PROVIDER)
        self.hear(Role.LEARNER)
        for _ in range(2 + pieces):  # status and offer first
            self.send(Role.LEARNER)
            self.hear(Role.PROVIDER)

    def step(self, role: Role, action: int) -> bool:
        """One of the three things that a party can do next."""
        return (self.parties[role].work, lambda: self.send(role), lambda: self.hear(role))[action]()

    def run(self) -> list[str]:
        """Play to the end; the digests of all rounds' models."""
        while not self.finished:
            progress = False
            for role in Role:
                for action in range(3):
                    while self.step(role, action):
                        progress = True
            if not progress:
                self.heartbeat()
        return self.results()

    def heartbeat(self) -> None:
        """Some seconds pass."""
        for party in self.parties.values():
            party.session.status_due = True

    @property
    def finished(self) -> bool:
        learner, provider = (self.parties[role].session for role in Role)
        return learner.finished and provider.machine.done

    def results(self) -> list[str]:
        machine = self.parties[Role.LEARNER].session.machine
        assert isinstance(machine, LearnerMachine)
        return [result.digest for result in machine.results]

    def close(self) -> None:
        for party in self.parties.values():
            party.die()
