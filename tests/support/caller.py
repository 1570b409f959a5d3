"""A learner made by hand: our keys and frames over a plain pyzmq socket, and no manners.

It holds a real identity and a real session without a spool, so it can say everything that an
enrolled learner can say, in any order and any number of parts.
"""

import time

import zmq
from patience import PATIENCE_S

from assistlearn.bundle import (
    Card,
    Identity,
    next_transcript,
    open_cosigned,
    seal_bundle,
)
from assistlearn.checkpoints import ModelSpec
from assistlearn.digests import digest
from parties.gate.handshake import Agreed, LearnerHandshake, OwnSide
from parties.secrets import SessionSecrets
from protocols.codec import decode_frame, encode_frame, encode_message
from protocols.messages import Carriage, CheckpointMessage, Offer, Refusal, Status


class Caller:
    """One connection to a provider."""

    def __init__(self, port, *, identity: Identity, provider: Card):
        self.identity = identity
        self.provider = provider
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDTIMEO, int(PATIENCE_S * 1000))
        self.socket.curve_publickey = identity.curve_public_key
        self.socket.curve_secretkey = identity.curve_secret_key
        self.socket.curve_serverkey = provider.curve_public_key
        self.socket.connect(f"tcp://127.0.0.1:{port}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.destroy(linger=0)

    def send(self, *parts):
        """Bytes or frames, as the parts of one message."""
        self.socket.send_multipart(
            [part if isinstance(part, bytes) else encode_frame(part) for part in parts]
        )

    def hear(self, kind=None):
        """The next frame (of a kind); those of other kinds are dropped."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if self.socket.poll(1000):
                frame = decode_frame(self.socket.recv())
                if kind is None or isinstance(frame, kind):
                    return frame
        raise AssertionError(f"the provider said no {kind}")

    def silent(self, *, ms=300):
        """Whether the provider says nothing for a while."""
        return not self.socket.poll(ms)

    def shake_hands(self, *, terms, spec: ModelSpec, samples, schema=""):
        """An honest handshake; what was agreed."""
        self.secrets = SessionSecrets.draw()
        self.spec = spec
        side = OwnSide(
            identity=self.identity,
            peer=self.provider,
            terms=terms,
            spec=spec,
            samples=samples,
            schema=schema,
        )
        self.handshake = LearnerHandshake(side, self.secrets)
        frame = self.handshake.hello()
        while True:
            self.send(frame)
            answer = None
            while answer is None:
                answer = self.handshake.answer(self.hear())
            if isinstance(answer, Agreed):
                assert open_cosigned(answer.note, (self.identity.card, self.provider))
                self.agreed = answer
                self.session = answer.agreement.session
                self.transcript = self.session
                return answer
            frame = answer

    def offer(self, *, seq=0, round_=1, step=0, content=b"", **changes):
        """A signed and sealed checkpoint message, any of whose header's fields may be a lie."""
        message = CheckpointMessage(
            round=round_,
            step=step,
            carriage=Carriage.ATTACHED,
            digest=digest(content),
            loss=1.0,
        )
        fields = {
            "identity": self.identity,
            "recipient": self.provider,
            "recipient_key": self.agreed.peer_sealing_key,
            "session": self.session,
            "round": round_,
            "seq": seq,
            "transcript": self.transcript,
            "spec": self.spec.digest,
            "payload": self.spec.file_bytes,
            "ledger_size": 2,
            "ledger_root": digest(b"root"),
            "body": encode_message(message),
            "session_secret": self.secrets.bundle_secret,
            **changes,
        }
        sealed = seal_bundle(**fields)
        return Offer(
            session=bytes.fromhex(self.session),
            seq=seq,
            note=sealed.note,
            sealed_key=sealed.sealed_key,
            sealed_body=sealed.sealed_body,
        )

    def passed(self, offer):
        """Continue the transcript as if ``offer`` had been accepted."""
        self.transcript = next_transcript(self.transcript, offer.note)

    def status(self, **changes):
        fields = {
            "session": bytes.fromhex(self.session),
            "seq": 0,
            "piece": 0,
            "credit": 8,
            "resend": 0,
            **changes,
        }
        return Status(**fields)

    def refused(self):
        """The code of the provider's next refusal."""
        return self.hear(Refusal).code.value
