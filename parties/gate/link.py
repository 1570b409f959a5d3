"""ZeroMQ sockets with CURVE and an allow-list: the lock on the door, not the safe.

What protects the contents is the envelope (``assistlearn/bundle/FORMAT.md``), which holds
without any of this. What this does is keep strangers away from our parsers and our memory.
Every frame is one message part; options bound its size, the queues and the handshake.
"""

import ctypes
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, cast
from urllib.parse import urlsplit

import zmq
import zmq.auth
import zmq.utils.monitor
from zmq.auth.thread import ThreadAuthenticator

from assistlearn.bundle import Card, Identity
from assistlearn.errors import FrameError, TransportError, UnknownPeerError
from protocols.codec import MAX_FRAME_BYTES, decode_frame
from protocols.messages import Frame

DOMAIN: Final = "assistlearn"
CURVE_BYTES: Final = 33  # what CURVE adds to a message
QUEUE: Final = 64  # frames
FRAMES_AT_ONCE: Final = 8  # then the peer is told how far we are: it waits for that to go on
KEPT_BYTES: Final = 12 << 20  # of freed memory, by the allocator
HEAPS: Final = 2
HANDSHAKE_MS: Final = 5_000
HEARTBEAT_MS: Final = 5_000
REDIAL_S: Final = 0.2
MONITORED: Final = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)


class LearnerLink:
    """The learner's one outgoing connection."""

    def __init__(self, address: str, *, identity: Identity, provider: Card) -> None:
        """Begin to connect, which goes on by itself until :meth:`close`.

        Raises:
            TransportError: the address cannot be used.
        """
        _require_curve()
        _keep_memory()
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        _limit(self.socket, address)
        self.socket.setsockopt(zmq.IMMEDIATE, 1)  # queue nothing for a peer that is not there
        self.socket.setsockopt(zmq.RECONNECT_IVL, 100)
        self.socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2_000)
        self.socket.curve_publickey = identity.curve_public_key
        self.socket.curve_secretkey = identity.curve_secret_key
        self.socket.curve_serverkey = provider.curve_public_key
        self.monitor = self.socket.get_monitor_socket(MONITORED)
        self._provider = provider
        self._address = address
        self._redial_at: float | None = None
        try:
            self.socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            raise TransportError(
                f"cannot connect to {address}: {error}",
                hint="write link.provider as tcp://HOST:PORT",
            ) from error

    def send(self, frame: memoryview | bytes) -> bool:
        """Hand a frame to the socket; False if it must wait."""
        try:
            self.socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def frames(self) -> Iterator[Frame]:
        """Frames that have arrived; a few, as others wait for a turn.

        Raises:
            FrameError, PeerProtocolError: the peer sent something that is no frame.
        """
        for _ in range(FRAMES_AT_ONCE):
            try:
                message = self.socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            if message.more:
                raise FrameError("the provider sent a message of several parts")
            yield decode_frame(message.buffer)

    def restored(self) -> bool:
        """Whether the connection was made, or made again, since the last look.

        A handshake that broke off says nothing about the provider: ZeroMQ tries again by itself.

        Raises:
            UnknownPeerError: the provider does not know our key.
        """
        connected = False
        while self.monitor.poll(0):
            event = zmq.utils.monitor.recv_monitor_message(self.monitor)["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                connected = True
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                raise UnknownPeerError(
                    f"{self._provider.name} refused our key",
                    hint="ask the provider to add your card with `assistlearn peer add`, and"
                    " compare both fingerprints by voice",
                )
            elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                self._redial_at = time.monotonic() + REDIAL_S
        if self._redial_at is not None and time.monotonic() > self._redial_at:
            # Bytes that were altered on the way: after these ZeroMQ gives the address up.
            self._redial_at = None
            with suppress(zmq.ZMQError):
                self.socket.disconnect(self._address)
            self.socket.connect(self._address)
        return connected

    def close(self) -> None:
        """Let go of the connection; what was not sent is dropped, and sent again later."""
        self.socket.disable_monitor()
        self._context.destroy(linger=200)  # ms: let a last refusal or receipt out


class ProviderPort:
    """The provider's one listening port, for all its learners."""

    def __init__(self, address: str, *, identity: Identity, admits: Callable[[str], bool]) -> None:
        """Listen.

        Args:
            address: such as ``tcp://*:7733``.
            identity: our keys.
            admits: whether a CURVE public key (40 characters) may come in. Called in another
                thread, before anything of the caller is parsed.

        Raises:
            TransportError: the address is taken or not ours.
        """
        _require_curve()
        _keep_memory()
        self._context = zmq.Context()
        self._doorman = ThreadAuthenticator(self._context)
        self._doorman.start()
        self._doorman.configure_curve_callback(DOMAIN, credentials_provider=_Guests(admits))
        self.socket = self._context.socket(zmq.ROUTER)
        _limit(self.socket, address)
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.BACKLOG, 16)
        self.socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN.encode())
        self.socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        self.socket.curve_server = True
        self.socket.curve_secretkey = identity.curve_secret_key
        self.socket.curve_publickey = identity.curve_public_key
        try:
            self.socket.bind(address)
        except zmq.ZMQError as error:
            self.close()
            raise TransportError(
                f"cannot listen on {address}: {error}",
                hint="choose a free port in link.listen, or stop the program that has it",
            ) from error
        self.address = cast(bytes, self.socket.getsockopt(zmq.LAST_ENDPOINT)).decode().rstrip("\0")

    def send(self, route: bytes, frame: memoryview | bytes) -> bool:
        """Hand a frame for one learner to the socket; False if it must wait or is gone."""
        try:
            self.socket.send(route, zmq.NOBLOCK | zmq.SNDMORE)
            self.socket.send(frame, zmq.NOBLOCK)
        except zmq.ZMQError:
            return False  # full, or disconnected; a learner that comes back asks again
        return True

    def next_message(self) -> tuple[bytes, str, list[Any]] | None:
        """Route, CURVE key and parts of the next message; none if there is none.

        Of a message of several parts, which is no frame of ours, two are kept.
        """
        try:
            route = self.socket.recv(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        parts: list[Any] = []
        more = route.more
        while more:
            part = self.socket.recv(copy=False)  # at hand: messages arrive whole
            more = part.more
            if len(parts) < 2:  # noqa: PLR2004  (one more than a frame has)
                parts.append(part)
        key = str(parts[0].get("User-Id")) if parts else ""
        return route.bytes, key, parts

    def close(self) -> None:
        """Stop listening."""
        self._doorman.stop()
        self._context.destroy(linger=200)


class _Guests:
    """The form in which pyzmq wants an allow-list."""

    def __init__(self, admits: Callable[[str], bool]) -> None:
        self._admits = admits

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether this key may come in."""
        del domain
        return self._admits(key.decode())


def address_family(address: str) -> socket.AddressFamily:
    """IPv4 or IPv6: by which ``tcp://HOST:PORT`` is reached; ``*`` by both, where there are both.

    A name that has an IPv4 address is reached by that: of a name's addresses ZeroMQ tries one, and
    IPv6 is often announced where no way leads.
    """
    host = urlsplit(address).netloc.rpartition(":")[0]
    if host.startswith("["):
        return socket.AF_INET6
    if host == "*":
        return socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    try:
        socket.getaddrinfo(host, None, socket.AF_INET)
    except (socket.gaierror, UnicodeError):  # the latter of a name that none can be
        return socket.AF_INET6
    return socket.AF_INET


def _limit(end: "zmq.Socket[bytes]", address: str) -> None:
    end.setsockopt(zmq.IPV6, int(address_family(address) is socket.AF_INET6))
    end.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES + CURVE_BYTES)
    end.setsockopt(zmq.SNDHWM, QUEUE)
    end.setsockopt(zmq.RCVHWM, QUEUE)
    end.setsockopt(zmq.LINGER, 0)
    end.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    end.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    end.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS)
    end.setsockopt(zmq.TCP_KEEPALIVE, 1)


def _require_curve() -> None:
    if not zmq.has("curve"):
        raise TransportError(
            "this build of ZeroMQ has no CURVE",
            hint="install pyzmq from a wheel: pip install --force-reinstall pyzmq",
        )


def _keep_memory() -> None:
    """Let the allocator keep what frames give back: new pages for each cost more than filling it.

    ZeroMQ takes and frees memory for a frame of 1 MiB some four times. Two heaps, ours and its
    thread's: each further thread would reserve 64 MiB of what we may have. Only glibc has these
    switches.
    """
    trim_threshold, mmap_threshold, arena_max = -1, -3, -8  # M_... of malloc.h
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(trim_threshold, KEPT_BYTES)
        mallopt(mmap_threshold, KEPT_BYTES)
        mallopt(arena_max, HEAPS)
