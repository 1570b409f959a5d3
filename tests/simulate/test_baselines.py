"""Baselines: equal work, equal start, and averages that are averages."""

import pytest
import torch
from simulating import small_settings
from torch import nn

from parties.simulate.baselines import BASELINE_METHODS, average_into, baseline, fedavg
from parties.simulate.sites import Sites
from protocols.roles import Role


class Recorder:
    """A trainer that notes how many updates it was asked for."""

    def __init__(self, trainer):
        self._trainer = trainer
        self.updates = []

    def train(self, **arguments):
        first = arguments["first_update"]
        self.updates += range(first, first + arguments["to_step"] - arguments["from_step"])
        return self._trainer.train(**arguments)

    def __getattr__(self, name):
        return getattr(self._trainer, name)


@pytest.fixture
def sites(tmp_path):
    sites = Sites(small_settings(), seed=0, folder=tmp_path)
    sites.trainers = {role: Recorder(trainer) for role, trainer in sites.trainers.items()}
    sites.__dict__["pooled"] = Recorder(sites.pooled)
    return sites


@pytest.mark.parametrize("name", BASELINE_METHODS)
def test_every_baseline_makes_as_many_updates_as_a_session_and_each_once(sites, name):
    rounds = list(baseline(sites, name))

    made = {role: sites.trainers[role].updates for role in Role} | {"pooled": sites.pooled.updates}
    assert [each.round for each in rounds] == [1, 2, 3]
    assert sum(map(len, made.values())) == 3 * 12
    assert all(updates == list(range(len(updates))) for updates in made.values())
    assert all(0 <= each.metrics["accuracy"] <= 1 for each in rounds)


def test_bytes_are_those_of_the_models_that_cross(sites):
    crossed = {
        name: [(each.sent_bytes, each.received_bytes) for each in baseline(sites, name)]
        for name in BASELINE_METHODS
    }

    size = crossed["fedavg"][0][0]
    assert size > sites.spec.file_bytes
    assert crossed["learner_only"] == crossed["pooled"] == [(0, 0)] * 3
    assert crossed["provider_only"] == [(0, size)] * 3
    assert crossed["fedavg"] == crossed["sequential_last"] == [(size, size)] * 3


def test_average_is_weighted_and_takes_counters_from_the_other_model():
    own, other = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    with torch.no_grad():
        own.weight.copy_(torch.tensor([1.0, 2.0]))
        other.weight.copy_(torch.tensor([5.0, -2.0]))
        own.running_mean.fill_(8.0)
        own.num_batches_tracked.fill_(3)
        other.num_batches_tracked.fill_(7)

    average_into(own, other, weight=0.25)

    assert own.weight.tolist() == [4.0, -1.0]
    assert own.running_mean.tolist() == [2.0, 2.0]
    assert own.num_batches_tracked.item() == 7


def test_average_of_a_model_with_itself_is_itself():
    model = nn.Linear(3, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    average_into(model, model, weight=0.3)

    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_federated_averaging_weighs_by_sample_counts(tmp_path):
    settings = small_settings(rounds=1, optimizer_settings={"lr": 0.0})
    sites = Sites(settings, seed=0, folder=tmp_path)

    (turn,) = fedavg(sites)

    # nobody moved, so any weighted mean is where both started
    assert turn.digest == sites.start
    assert sites.samples[Role.PROVIDER] > sites.samples[Role.LEARNER] > 0


def test_training_that_diverges_leaves_the_model_as_it_was(tmp_path):
    settings = small_settings(optimizer_settings={"lr": 1e30})
    sites = Sites(settings, seed=0, folder=tmp_path)

    digests = {turn.digest for turn in BASELINE_METHODS["sequential_last"](sites)}

    assert digests == {sites.start}
