"""What ``doctor`` says of the line, and of how far apart the checkpoints of a round lie."""

import socket
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.errors import TransportError
from parties.checkup import ADVISED_EXAMPLES, _link, _shown, privacy
from parties.directory import PartyDirectory
from parties.settings import TermsSettings
from parties.setup import make_party
from parties.template import config_text
from protocols.roles import Role
from protocols.sampling import Sampling

MANY = 10**9


def told(examples, role=Role.LEARNER, own=MANY, **terms):
    """The one check of a party that sees so many examples in an update, and has so many."""
    settings = TermsSettings(task="toy", **terms)
    (found,) = privacy(settings.terms(), role, examples=examples, own=own)
    return found


def listening(host):
    """A socket that listens there, or a reason to skip."""
    try:
        return socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        pytest.skip(f"this machine has no {host}: {error}")


def directory_of(root, role, address):
    config = config_text(role)
    for template in ("tcp://localhost:7733", "tcp://*:7733"):
        config = config.replace(template, address)
    make_party(root, role=role, name="own", config=config)
    return PartyDirectory(root)


def test_a_host_that_nobody_knows_is_told_apart_from_one_that_is_silent(tmp_path):
    learner = directory_of(tmp_path, Role.LEARNER, "tcp://no-such-host.invalid:7733")

    with pytest.raises(TransportError, match="cannot reach") as caught:
        _link(learner)

    assert caught.value.hint == "check the host's name in link.provider"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_doctor_calls_and_listens_where_the_link_will_by_ipv4_and_ipv6(tmp_path, host):
    with listening(host) as taken:
        shown = f"[{host}]" if ":" in host else host
        address = f"tcp://{shown}:{taken.getsockname()[1]}"
        learner = directory_of(tmp_path / "learner", Role.LEARNER, address)
        provider = directory_of(tmp_path / "provider", Role.PROVIDER, address)

        assert _link(learner) == f"{address} answers (keys are not tried here)"
        with pytest.raises(TransportError, match="cannot listen"):
            _link(provider)
    assert _link(provider) == f"{address} is free"
    with pytest.raises(TransportError, match="cannot reach"):
        _link(learner)


@pytest.mark.parametrize("sampling", Sampling)
def test_a_short_last_gap_is_warned_of_though_the_period_is_long_enough(sampling):
    found = told(
        20, learner_steps=110, provider_steps=100, sampling_period=50, sampling=sampling.value
    )

    assert found.state == "warning"
    assert found.detail.startswith("200 examples between the last two checkpoints of a round")
    assert "multiple of terms.sampling_period" in found.hint


def test_the_other_partys_short_last_gap_is_not_ours():
    found = told(20, Role.PROVIDER, learner_steps=110, provider_steps=100, sampling_period=50)

    assert found.state == "ok"
    assert found.detail == "1,000 examples between two checkpoints"


def test_a_last_update_that_is_not_sent_makes_no_short_gap():
    found = told(20, learner_steps=110, provider_steps=100, sampling_period=50, include_last=False)

    assert found.state == "ok"


def test_a_short_period_is_warned_of_with_another_remedy():
    found = told(10, learner_steps=100, provider_steps=100, sampling_period=50)

    assert found.state == "warning"
    assert found.detail.startswith("500 examples between two checkpoints, at least 1,000")
    assert "raise terms.sampling_period" in found.hint


def test_where_the_peers_data_decide_on_the_updates_the_last_gap_is_said_to_be_unknown():
    found = told(64, total_steps=400, sampling_period=50)

    assert found.state == "ok"
    assert found.detail == (
        "3,200 examples between two checkpoints (between the last two of a round perhaps fewer,"
        " but 64 at least)"
    )


def test_examples_that_the_settings_do_not_tell_are_warned_of_as_unknown():
    found = told(None, learner_steps=110, provider_steps=100, sampling_period=50)

    assert found.state == "warning"
    assert found.detail.startswith("unknown: [task.settings] has no batch_size")
    assert found.detail.endswith("updates between two checkpoints: 10")
    assert found.hint.startswith("set batch_size")


def test_examples_that_are_seen_again_count_once():
    terms = {"learner_steps": 100, "provider_steps": 100, "sampling_period": 50}

    many, few = told(32, own=1_200, **terms), told(32, own=150, **terms)

    assert (many.state, many.detail) == ("ok", "1,200 examples between two checkpoints")
    assert few.state == "warning"
    assert few.detail.startswith("150 examples between two checkpoints, at least 1,000")
    assert few.hint.startswith("add examples")


def test_data_that_differ_far_down_a_long_line_look_different_in_that_line():
    alike = ", ".join(f"column_{number}" for number in range(40))

    one, other = (_shown(f"task: x\nfeatures: {alike}, {last}") for last in ("bmi", "age"))

    assert one.split("(", 1)[1] != other.split("(", 1)[1]
    assert len(one) < 200
    assert _shown("task: x").endswith(" (task: x)")


@pytest.mark.parametrize("examples", [1, None])
def test_one_checkpoint_alone_has_no_neighbour(examples):
    settings = TermsSettings(
        task="toy", learner_steps=10, provider_steps=10, sampling_period=50, include_last=False
    )

    assert not list(privacy(settings.terms(), Role.LEARNER, examples=examples, own=MANY))


@given(
    steps=st.integers(1, 300),
    period=st.integers(1, 80),
    examples=st.integers(1, 100),
    sampling=st.sampled_from(Sampling),
)
def test_the_number_is_that_of_the_two_nearest_checkpoints(steps, period, examples, sampling):
    terms = {"sampling_period": period, "sampling": sampling.value}
    settings = TermsSettings(task="toy", learner_steps=steps, provider_steps=1, **terms)

    found = told(examples, learner_steps=steps, provider_steps=1, **terms)

    grid = settings.terms().grid(steps)
    fewest = examples * min(after - before for before, after in pairwise(grid))
    assert found.detail.startswith(f"{fewest:,} examples between")
    assert (found.state == "warning") == (fewest < ADVISED_EXAMPLES)
