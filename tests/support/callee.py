"""A provider made by hand: our keys and frames over a plain pyzmq socket, and no manners.

It holds a real identity and real sessions without a worker, so it can say everything that an
enrolled provider can say, in any order and any number of parts, and before anybody asked.
"""

import re
import time

import numpy as np
import zmq
from patience import PATIENCE_S

from assistlearn.bundle import (
    PIECE_BYTES,
    ExpectedHeader,
    PieceSealer,
    SealedBundle,
    next_transcript,
    open_bundle,
    piece_count,
    seal_bundle,
    sealed_piece_bytes,
)
from assistlearn.checkpoints import ModelSpec
from assistlearn.checkpoints.spec import DType, TensorSpec
from assistlearn.digests import digest
from assistlearn.tasks import load_task
from parties.audit import verify
from parties.directory import PartyDirectory
from parties.gate.books import Books, header_of
from parties.gate.handshake import Agreed, OwnSide, ProviderHandshake
from parties.secrets import SessionSecrets
from protocols.codec import decode_frame, decode_message, encode_frame, encode_message
from protocols.messages import (
    Acceptance,
    Carriage,
    CheckpointMessage,
    Hello,
    Message,
    Offer,
    Piece,
    Proposal,
    Status,
    TrajectoryClosed,
)

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
SHAPES = {"1.weight": (64, 8), "1.bias": (64,), "3.weight": (2, 64), "3.bias": (2,)}
SPEC = ModelSpec(
    tuple(
        TensorSpec(name=name, dtype=DType.F32, shape=shape, buffer=False)
        for name, shape in SHAPES.items()
    )
)


def own_side(home, *, samples) -> OwnSide:
    """What the party in ``home`` brings to an agreement on the toy task."""
    directory = PartyDirectory(home)
    settings = directory.settings
    task = load_task(settings.task.factory, settings.task.settings, device="cpu")
    return OwnSide(
        identity=directory.identity,
        peer=directory.only_peer(),
        terms=settings.terms.terms(),
        spec=SPEC,
        samples=samples,
        schema=task.schema,
    )


def audited(home):
    """Every step of an audit of the one ledger in ``home``; raises where one fails."""
    directory = PartyDirectory(home)
    peer = directory.only_peer()
    return verify(directory, peer, directory.ledger_path(peer), passed=str)


def sealed_offer(
    books: Books, message: Message, *, payload=0, place=0, **changes
) -> tuple[Offer, SealedBundle]:
    """A signed and sealed message, any of whose header's fields may be a lie.

    Args:
        books: the sender's.
        message: what the bundle holds.
        payload: bytes of the checkpoint that comes with it.
        place: the bundle's number, in the frame and in the header.
        changes: other values for what is sealed.
    """
    fields = {
        "identity": books.identity,
        "recipient": books.peer,
        "recipient_key": books.peer_sealing_key,
        "session": books.session,
        "round": message.round,
        "seq": place,
        "transcript": books.transcript,
        "spec": books.spec.digest,
        "payload": payload,
        "ledger_size": 2,
        "ledger_root": digest(b"root"),
        "body": encode_message(message),
        "session_secret": books.secrets.bundle_secret,
        **changes,
    }
    sealed = seal_bundle(**fields)
    offer = Offer(
        session=bytes.fromhex(books.session),
        seq=place,
        note=sealed.note,
        sealed_key=sealed.sealed_key,
        sealed_body=sealed.sealed_body,
    )
    return offer, sealed


def step(number, content=b"", **changes) -> CheckpointMessage:
    """A checkpoint message of ``content``, whose tensors come with it."""
    fields = {
        "round": 1,
        "carriage": Carriage.ATTACHED,
        "digest": digest(content),
        "loss": 1.0,
        **changes,
    }
    return CheckpointMessage(step=number, **fields)


def held(found, **changes) -> CheckpointMessage:
    """The honest step 0: one of the learner's own checkpoints."""
    return step(0, **{"carriage": Carriage.HELD, "digest": found, **changes})


def withheld(number, **changes) -> CheckpointMessage:
    """A step whose training diverged, as it says."""
    return step(number, carriage=Carriage.WITHHELD, digest="", loss=None, **changes)


class Callee:
    """One listening port, that takes everybody in."""

    def __init__(self, port, side: OwnSide):
        self.side = side
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDTIMEO, int(PATIENCE_S * 1000))
        self.socket.curve_server = True
        self.socket.curve_publickey = side.identity.curve_public_key
        self.socket.curve_secretkey = side.identity.curve_secret_key
        self.socket.bind(f"tcp://127.0.0.1:{port}")
        self.route = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.destroy(linger=0)

    def send(self, *parts):
        """Bytes or frames, as the parts of one message to whoever spoke last."""
        said = [part if isinstance(part, bytes) else encode_frame(part) for part in parts]
        self.socket.send_multipart([self.route, *said])

    def hear(self, kind=None):
        """The next frame (of a kind); those of other kinds are dropped."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if self.socket.poll(1000):
                self.route, data = self.socket.recv_multipart()
                frame = decode_frame(data)
                if kind is None or isinstance(frame, kind):
                    return frame
        raise AssertionError(f"the learner said no {kind}")

    def welcome(self, secrets=None):
        """What an honest provider answers to the next Hello."""
        self.secrets = secrets or SessionSecrets.draw()
        self.handshake = ProviderHandshake(self.side, self.hear(Hello), self.secrets)
        return self.handshake.welcome()

    def shake_hands(self, secrets=None) -> Agreed:
        """A handshake, honest but for the secrets given; what was agreed."""
        self.send(self.welcome(secrets))
        agreed = self.handshake.accept(self.hear(Proposal))
        self.send(Acceptance(note=agreed.note))
        self.books = Books(
            identity=self.side.identity,
            peer=self.side.peer,
            ledger=None,
            agreement=agreed.agreement,
            spec=self.side.spec,
            secrets=self.secrets,
            peer_sealing_key=agreed.peer_sealing_key,
        )
        self.taken = self.said = 0
        self.told = []
        return agreed

    def take(self) -> Message:
        """The learner's next message with all its pieces, as an honest provider takes it."""
        while not isinstance(offer := self.hear(), Offer):
            self.send(self.status())  # a sign of life, while the learner trains
        header = header_of(offer.note)
        opened = open_bundle(
            note=offer.note,
            sealed_key=offer.sealed_key,
            sealed_body=offer.sealed_body,
            sender=self.books.peer,
            recipient=self.books.identity.card,
            sealing_key=self.secrets.sealing_key,
            expected=ExpectedHeader(
                session=self.books.session,
                round=header.round,
                seq=self.taken,
                transcript=self.books.transcript,
                spec=self.books.spec.digest,
                payloads=frozenset({header.payload}),
            ),
        )
        self.books.note_passed(offer.note)
        for index in range(piece_count(header.payload)):
            self.send(self.status(piece=1 + index))
            assert self.hear(Piece).index == index
        self.taken += 1
        self.send(self.status())
        return decode_message(opened.body)

    def take_trajectory(self):
        """The learner's whole trajectory: its checkpoint messages."""
        while not isinstance(message := self.take(), TrajectoryClosed):
            pass
        return message.checkpoints

    def say(self, message, content=b"", **changes):
        """A bundle with all its pieces, to which the learner may object or not."""
        size = len(content)
        offer, sealed = sealed_offer(self.books, message, payload=size, place=self.said, **changes)
        self.send(offer)
        sealer = PieceSealer(sealed.key, sealed.header.bind(), piece_count(size))
        for index in range(piece_count(size)):
            plain = content[index * PIECE_BYTES : (index + 1) * PIECE_BYTES]
            out = bytearray(sealed_piece_bytes(len(plain)))
            self.send(
                Piece(
                    session=offer.session,
                    seq=offer.seq,
                    index=index,
                    sealed=sealer.seal(index, plain, out),
                )
            )
        self.books.transcript = next_transcript(self.books.transcript, offer.note)
        self.said += 1
        self.told += [message] if isinstance(message, CheckpointMessage) else []
        return offer

    def status(self, **changes):
        """How far this provider is, or says it is."""
        fields = {"seq": self.taken, "piece": 0, "credit": 8, "resend": 0, **changes}
        return Status(**{"session": bytes.fromhex(self.books.session), **fields})

    def checkpoint(self, *values) -> bytes:
        """A checkpoint file of the agreed form, its first numbers given and the others 0.01."""
        numbers = np.full(self.side.spec.elements, 0.01, dtype="<f4")
        numbers[: len(values)] = values
        return self.side.spec.header + numbers.tobytes()
