"""What the stack is built from, alone: ZeroMQ without and with CURVE, and AES-256-GCM."""

import multiprocessing
import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

import zmq
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MIB: Final = 1 << 20
CREDIT: Final = 24
ACKNOWLEDGE_EVERY: Final = 6
TAG: Final = 16
NONCE: Final = bytes(12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast bytes went, and what they cost."""

    gb_per_s: float
    sender_cpu: float
    """Processor seconds for each GB."""
    receiver_cpu: float


def raw_zeromq(gigabytes: float, *, curve: bool) -> Speed:
    """DEALER to ROUTER on loopback between two processes: frames of 1 MiB, under credit."""
    frames = int(gigabytes * 1e9 / MIB)
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    server_keys = zmq.curve_keypair() if curve else None
    receiver = spawn.Process(target=_receive, args=(theirs, frames, server_keys))
    receiver.start()
    address = ours.recv()
    ours_sending, theirs_sending = spawn.Pipe()
    public = server_keys[0] if server_keys else None
    sender = spawn.Process(target=_send, args=(theirs_sending, frames, address, public))
    sender.start()
    sent_cpu = ours_sending.recv()
    seconds, received_cpu = ours.recv()
    sender.join()
    receiver.join()
    size = frames * MIB / 1e9
    return Speed(
        gb_per_s=size / seconds, sender_cpu=sent_cpu / size, receiver_cpu=received_cpu / size
    )


def aes_gcm(gigabytes: float) -> Speed:
    """Seal and open 1 MiB at a time in one thread; GB/s of both one after the other."""
    pieces = int(gigabytes * 1e9 / MIB)
    cipher = AESGCM(bytes(32))
    plain, sealed, opened = os.urandom(MIB), bytearray(MIB + TAG), bytearray(MIB)
    started, cpu = time.perf_counter(), time.process_time()
    for _ in range(pieces):
        cipher.encrypt_into(NONCE, plain, None, sealed)  # the same nonce: nobody reads this
    middle = time.process_time()
    for _ in range(pieces):
        cipher.decrypt_into(NONCE, sealed, None, opened)
    size = pieces * MIB / 1e9
    return Speed(
        gb_per_s=size / (time.perf_counter() - started),
        sender_cpu=(middle - cpu) / size,
        receiver_cpu=(time.process_time() - middle) / size,
    )


def _receive(told: Connection, frames: int, keys: tuple[bytes, bytes] | None) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        _limit(socket)
        if keys:
            socket.curve_server = True
            socket.curve_publickey, socket.curve_secretkey = keys
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        told.send(f"tcp://127.0.0.1:{port}")
        route, _ = socket.recv_multipart()
        started, cpu = time.perf_counter(), time.process_time()
        socket.send_multipart([route, CREDIT.to_bytes(4)])
        for number in range(1, frames + 1):
            socket.recv()
            socket.recv(copy=False)
            if number % ACKNOWLEDGE_EVERY == 0:
                socket.send_multipart([route, ACKNOWLEDGE_EVERY.to_bytes(4)])
        told.send((time.perf_counter() - started, time.process_time() - cpu))
        socket.send_multipart([route, b""])
        socket.close(1000)


def _send(told: Connection, frames: int, address: str, public: bytes | None) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        _limit(socket)
        if public:
            socket.curve_serverkey = public
            socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
        socket.connect(address)
        data = os.urandom(MIB)
        socket.send(b"hello")
        credit = int.from_bytes(socket.recv())
        cpu = time.process_time()
        for _ in range(frames):
            while not credit or socket.poll(0):
                credit += int.from_bytes(socket.recv())
            socket.send(data, copy=False)
            credit -= 1
        while socket.recv():
            pass
        told.send(time.process_time() - cpu)


def _limit(socket: "zmq.Socket[bytes]") -> None:
    socket.setsockopt(zmq.SNDHWM, 64)
    socket.setsockopt(zmq.RCVHWM, 64)
