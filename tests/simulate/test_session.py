"""Sessions of both machines in one process, on real models."""

from itertools import pairwise

import pytest
from simulating import small_settings

from parties.simulate.session import LocalSession, assisted
from parties.simulate.sites import Sites
from protocols.roles import Role


@pytest.fixture
def make_sites(tmp_path):
    def make(seed=0, **changes):
        folder = tmp_path / f"sites-{len(list(tmp_path.iterdir()))}"
        return Sites(small_settings(**changes), seed=seed, folder=folder)

    return make


def test_global_loss_never_rises_and_every_choice_lies_on_its_grid(make_sites):
    sites = make_sites()

    rounds = list(assisted(sites))

    losses = [sites.global_loss(sites.start), *(each.global_loss for each in rounds)]
    assert len(rounds) == 3
    assert all(later <= earlier for earlier, later in pairwise(losses))
    assert all(each.learner_step in sites.agreement.grid(Role.LEARNER) for each in rounds)
    assert all(each.provider_step in sites.agreement.grid(Role.PROVIDER) for each in rounds)


def test_the_same_seed_gives_the_same_models_and_another_seed_others(make_sites):
    digests = [
        [result.digest for result in LocalSession(make_sites(seed=seed)).rounds()]
        for seed in (0, 0, 1)
    ]

    assert digests[0] == digests[1]
    assert not set(digests[0]) & set(digests[2])


def test_what_the_machines_select_by_is_the_exact_loss_where_losses_are_exact(make_sites):
    sites = make_sites()
    session = LocalSession(sites)

    for result in session.rounds():
        assert result.global_loss == sites.global_loss(result.digest)
    assert session.provider.result == session.learner.best.digest


def test_only_needed_checkpoints_are_on_disk_after_a_session(make_sites):
    sites = make_sites()
    session = LocalSession(sites)

    for _ in session.rounds():
        pass

    assert sites.store.digests() == {sites.start, session.learner.best.digest}


def test_each_checkpoint_that_crosses_is_counted_once(make_sites):
    sites = make_sites()
    size = sites.spec.file_bytes

    first, second, _ = assisted(sites)

    attached_p = len(sites.agreement.grid(Role.PROVIDER)) - 1
    attached_l = len(sites.agreement.grid(Role.LEARNER))
    assert attached_l * size < first.sent_bytes < (attached_l + 2) * (size + 8000)
    assert attached_p * size < first.received_bytes < (attached_p + 3) * (size + 8000)
    # from round 2 on the peer holds step 0, so one model less goes out
    assert size - 100 < first.sent_bytes - second.sent_bytes < size + 200


def test_learner_stops_buying_when_a_round_gains_too_little(make_sites):
    rounds = list(assisted(make_sites(), minimum_gain=100.0))

    assert [each.round for each in rounds] == [1, 2]


@pytest.mark.parametrize("precision", ["coarse", "private"])
@pytest.mark.parametrize("weighting", ["samples", "parties"])
def test_every_loss_precision_and_weighting_plays_to_the_end(make_sites, precision, weighting):
    steps = {"total_steps": None, "learner_steps": 4, "provider_steps": 8}
    changes = steps if weighting == "parties" else {}
    noise = {"loss_noise": 0.01} if precision == "private" else {}
    sites = make_sites(loss_precision=precision, weighting=weighting, **noise, **changes)

    assert len(list(assisted(sites))) == 3


def test_bfloat16_checkpoints_cross_in_half_the_bytes(make_sites):
    full, half = make_sites(), make_sites(wire_dtype="bfloat16")

    assert len(list(assisted(half))) == 3
    assert half.spec.file_bytes < 0.6 * full.spec.file_bytes
