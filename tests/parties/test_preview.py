"""What a preview says of the checkpoints that would leave."""

import pytest

from assistlearn.errors import UnknownPeerError
from parties.directory import PartyDirectory
from parties.preview import preview_lines, previewed
from parties.setup import add_peer, make_party
from protocols.roles import Role
from protocols.sampling import Sampling, sampled_steps

FACTS = {
    "role": "learner",
    "to": [{"name": "radlab", "fingerprint": "abcd"}],
    "address": "tcp://radlab:7733",
    "tensors": 4,
    "elements": 1000,
    "dtypes": ["float32"],
    "checkpoint_bytes": 4000,
    "buffers": [],
    "rounds": 3,
    "steps": 400,
    "steps_at_most": 400,
    "sampling_period": 50,
    "quota_per_round": 10**6,
    "losses_per_round": 9,
    "loss_in_words": "exact",
    "samples_told": 100,
    "price": 0,
    "currency": "EUR",
    "budget": 0,
}


@pytest.mark.parametrize(
    ("sampling", "told"),
    [
        (Sampling.EVEN, "9 checkpoints, one every 50 of 400 updates"),
        (Sampling.DOUBLING, "5 checkpoints, after 50, 100, 200, ... of 400 updates"),
    ],
)
def test_the_number_of_checkpoints_and_where_they_lie_are_told(sampling, told):
    count = len(sampled_steps(400, 50, sampling=sampling))
    facts = FACTS | {
        "sampling": sampling.value,
        "checkpoints_per_round": count,
        "bytes_per_round": count * 4000,
    }

    assert told in "\n".join(preview_lines(facts))


def test_a_learner_with_two_providers_is_refused_as_its_session_would_be(tmp_path):
    make_party(tmp_path / "clinic", role=Role.LEARNER, name="clinic")
    clinic = PartyDirectory(tmp_path / "clinic")
    for name in ("radlab", "registry"):
        add_peer(clinic, make_party(tmp_path / name, role=Role.PROVIDER, name=name))

    with pytest.raises(UnknownPeerError, match="has 2") as caught:
        previewed(clinic)

    assert caught.value.hint.startswith("use one directory")
