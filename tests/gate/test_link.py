"""Which addresses a provider can listen at and a learner can call: IPv4, IPv6, names."""

import socket

import pytest
import zmq

from assistlearn.bundle import Identity
from parties.gate.link import LearnerLink, ProviderPort, address_family

PATIENCE_MS = 30_000


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    root = tmp_path_factory.mktemp("keys")
    return [Identity.create(root / name, name=name) for name in ("clinic", "radlab")]


def arrives(identities, *, listen, call):
    """Whether a frame of a learner that calls there comes to a provider that listens here."""
    clinic, radlab = identities
    port = ProviderPort(listen, identity=radlab, admits=lambda _: True)
    try:
        number = port.address.rpartition(":")[2]
        link = LearnerLink(f"{call}:{number}", identity=clinic, provider=radlab.card)
        try:
            assert link.socket.poll(PATIENCE_MS, zmq.POLLOUT)
            assert link.send(b"hello")
            assert port.socket.poll(PATIENCE_MS)
            found = port.next_message()
        finally:
            link.close()
    finally:
        port.close()
    return found is not None and found[2][0].bytes == b"hello"


@pytest.mark.parametrize(
    ("listen", "call"),
    [
        ("tcp://127.0.0.1:*", "tcp://127.0.0.1"),
        ("tcp://*:*", "tcp://127.0.0.1"),
        ("tcp://*:*", "tcp://localhost"),
        pytest.param("tcp://[::1]:*", "tcp://[::1]", marks=needs_ipv6),
        pytest.param("tcp://[::]:*", "tcp://[::1]", marks=needs_ipv6),
        pytest.param("tcp://*:*", "tcp://[::1]", marks=needs_ipv6),
    ],
)
def test_a_learner_reaches_a_provider(identities, listen, call):
    assert arrives(identities, listen=listen, call=call)


@pytest.mark.parametrize(
    ("address", "family"),
    [
        ("tcp://127.0.0.1:7733", socket.AF_INET),
        ("tcp://localhost:7733", socket.AF_INET),  # even where it has an IPv6 address too
        ("tcp://[::ffff:127.0.0.1]:7733", socket.AF_INET6),
        ("tcp://no..name:7733", socket.AF_INET6),
    ],
)
def test_ipv6_is_for_addresses_that_have_nothing_else(address, family):
    assert address_family(address) is family
