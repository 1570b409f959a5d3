"""A TCP relay on 127.0.0.1 that does to a connection what networks do."""

import socket
import struct
import threading
import time
from collections import deque

CHUNK = 1 << 14


class Proxy:
    """Relays to ``target``. ``up`` is from the learner to the provider, ``down`` the way back.

    Attributes:
        target: the provider's port, to be set before anybody calls.
        carried: bytes relayed, by way.
        tape: those bytes, where ``record`` was asked for.
        cuts: totals of both ways at which the connection is reset, in order.
        flips: (way, total of that way) of bytes to be changed, in order.
        stops: (way, total of that way) at which it freezes, in order.
        rate: bytes a second and way; None for no limit.
        slices: so many of the next bytes travel one by one.
    """

    def __init__(self, *, record=False):
        self.target = None
        self.carried = {"up": 0, "down": 0}
        self.tape = {"up": bytearray(), "down": bytearray()} if record else None
        self.cuts = deque()
        self.flips = deque()
        self.stops = deque()
        self.rate = None
        self.slices = 0
        self.connections = 0
        self.reset = 0
        self._open = threading.Event()
        self._open.set()
        self._lock = threading.Lock()
        self._pairs = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self):
        """Carry nothing any more, and close nothing either."""
        self._open.clear()

    def thaw(self):
        self._open.set()

    @property
    def frozen(self):
        return not self._open.is_set()

    def cut(self):
        """Reset every connection, as a router that lost its table does."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            self.reset += 1
            for each in pair:
                _abort(each)

    def close(self):
        self._listener.close()
        self.thaw()
        self.cut()

    def _accept(self):
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            try:
                callee = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                _abort(caller)
                continue
            for each in (caller, callee):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            with self._lock:
                self._pairs.append((caller, callee))
            for way, source, sink in (("up", caller, callee), ("down", callee, caller)):
                threading.Thread(target=self._pump, args=(way, source, sink), daemon=True).start()

    def _pump(self, way, source, sink):
        try:
            while data := source.recv(CHUNK):
                self._open.wait()
                for part in self._parts(data):
                    self._relay(way, part, sink)
        except OSError:
            pass
        for each in (source, sink):
            _abort(each)

    def _parts(self, data):
        with self._lock:
            single = min(self.slices, len(data))
            self.slices -= single
        yield from (data[i : i + 1] for i in range(single))
        if data[single:]:
            yield data[single:]

    def _relay(self, way, part, sink):
        with self._lock:
            start = self.carried[way]
            self.carried[way] += len(part)
            if self.flips and self.flips[0][0] == way and self.flips[0][1] < self.carried[way]:
                changed = bytearray(part)
                changed[max(0, self.flips.popleft()[1] - start)] ^= 0x55
                part = bytes(changed)
            if self.stops and self.stops[0][0] == way and self.stops[0][1] <= self.carried[way]:
                self.stops.popleft()
                self.freeze()
            if self.tape is not None:
                self.tape[way] += part
            cut = bool(self.cuts) and sum(self.carried.values()) >= self.cuts[0]
            if cut:
                self.cuts.popleft()
        if cut:
            sink.sendall(part[: len(part) // 2])
            self.cut()
            raise OSError("cut")
        sink.sendall(part)
        if self.rate:
            time.sleep(len(part) / self.rate)


def _abort(connection):
    """Close with RST, at once."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()
