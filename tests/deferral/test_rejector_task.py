"""A rejector trained in assistance rounds."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from assistlearn.deferral.rejectors import RejectorTask, TableRejector, outcomes_task
from assistlearn.deferral.surrogates import surrogate_names
from assistlearn.errors import ConfigError, DataError
from assistlearn.task import Task
from assistlearn.training.evaluation import local_loss
from parties.settings import SimulationSettings
from parties.settings_file import check_settings
from parties.simulate.session import LocalSession, assisted
from parties.simulate.sites import Sites


def outcomes(rows=240, seed=0):
    """Features, and costs of three agents of which each is right in its own region."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, 3)).astype(np.float32)
    own = features == features.max(axis=1, keepdims=True)
    wrong = generator.random((rows, 3)) > np.where(own, 0.9, 0.3)
    return features, (wrong + np.array([0, 0.05, 0.1])).astype(np.float32)


def made(**changes):
    features, costs = (torch.from_numpy(each) for each in outcomes())
    parts = {
        "build": lambda: TableRejector(3, 3, hidden=(8,)),
        "features": features,
        "costs_BA": costs,
        "device": "cpu",
    }
    return RejectorTask(**{**parts, **changes})


@pytest.fixture
def files(tmp_path):
    for name, seed in (("train", 0), ("test", 1)):
        features, costs = outcomes(seed=seed)
        np.savez(tmp_path / f"{name}.npz", features=features, costs=costs)
    return tmp_path


def test_it_is_a_task():
    assert isinstance(made(), Task)


@pytest.mark.parametrize("hidden", [(), (8,)])
def test_rounds_train_a_rejector_and_the_global_loss_never_rises(files, hidden):
    settings = check_settings(
        {
            "terms": {"task": "rejector", "rounds": 3, "total_steps": 40, "sampling_period": 5,
                      "price": 5000, "budget": 15000, "loss_precision": "exact"},
            "task": {
                "factory": "assistlearn.deferral.rejectors:outcomes_task",
                "device": "cpu",
                "threads": 1,
                "settings": {
                    "train": str(files / "train.npz"),
                    "test": str(files / "test.npz"),
                    "agents": ["clinic", "lab", "night shift"],
                    "hidden": [*hidden],
                    "optimizer_settings": {"lr": 0.03},
                },
            },
            "split": {"imbalance": 0.2},
        },
        SimulationSettings,
        name="rejector.toml",
    )  # fmt: skip
    sites = Sites(settings, seed=0, folder=files / "sites")

    rounds = list(assisted(sites))

    losses = [sites.global_loss(sites.start), *(each.global_loss for each in rounds)]
    assert all(later <= earlier for earlier, later in pairwise(losses))
    assert losses[-1] < losses[0]
    last = rounds[-1].metrics
    assert last["oracle_loss"] <= last["deferral_loss"] < last["best_fixed_agent_loss"]
    again, once_more = (
        LocalSession(Sites(settings, seed=0, folder=files / name)) for name in ("two", "three")
    )
    assert [*again.rounds()] == [*once_more.rounds()]


@pytest.mark.parametrize("name", surrogate_names())
def test_every_surrogate_gives_losses_that_rounds_accept_or_is_refused(name):
    costs = torch.from_numpy(outcomes()[1])
    settings = {"margins": [0.5, 1.0, 2.0]} if name.startswith("mild") else {}
    fitted = {"class_balanced", "ldam", "logit_adjusted"}
    parts = {"surrogate": name, "surrogate_settings": settings, "costs_BA": costs.clamp(max=1)}

    if name in fitted:
        with pytest.raises(ConfigError, match="one party's own costs"):
            made(**parts)
        return
    task = made(**parts)
    model = task.build_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=3.0, generator=torch.Generator().manual_seed(1))

    loss = local_loss(task, model)

    assert loss is not None
    assert loss.count == 240
    assert loss.total >= 0


@pytest.mark.parametrize("name", ["mild_log", "mild_hinge", "mild_ramp"])
def test_margins_that_follow_from_one_partys_costs_are_refused(name):
    with pytest.raises(ConfigError, match="one party's own costs"):
        made(surrogate=name)


def test_figures_are_those_of_a_loop_over_the_test_examples():
    features, costs = (torch.from_numpy(each) for each in outcomes(50, seed=3))
    task = made(test=(features, costs))
    model = task.build_model()

    figures = task.metrics(model)

    chosen = [int(model(row[None]).argmax()) for row in features]
    assert figures == pytest.approx(
        {
            "deferral_loss": np.mean([float(costs[n, agent]) for n, agent in enumerate(chosen)]),
            "coverage": chosen.count(0) / 50,
            "best_fixed_agent_loss": float(costs.mean(dim=0).min()),
            "oracle_loss": float(costs.amin(dim=1).mean()),
        }
    )
    assert set(made().metrics(model)) == {f"train_{name}" for name in figures}


def test_updates_are_the_same_whether_or_not_they_were_interrupted():
    task = made(batch_size=32)
    torch.manual_seed(0)
    whole = task.build_model()
    parts = task.build_model()
    parts.load_state_dict(whole.state_dict())

    task.train(whole, torch.optim.SGD(whole.parameters(), lr=0.1), range(12))
    optimizer = torch.optim.SGD(parts.parameters(), lr=0.1)
    for steps in (range(5), range(5, 12)):
        task.train(parts, optimizer, steps)

    assert all(map(torch.equal, whole.parameters(), parts.parameters()))


def test_several_inputs_reach_the_rejector_as_several_arguments():
    features, costs = (torch.from_numpy(each) for each in outcomes())
    logits = torch.randn(len(costs), 5)
    task = made(build=lambda: TableRejector(3, 3, extra=5), features=(features, logits))
    model = task.build_model()

    task.train(model, task.build_optimizer(model), range(3))

    assert sum(len(each) for each in task.losses(model)) == len(costs)


def test_data_that_do_not_fit_are_refused(files):
    with pytest.raises(DataError, match=r"\[2\] features for 240 costs"):
        made(features=torch.zeros(2, 3))
    with pytest.raises(DataError, match="for 2 agents"):
        outcomes_task(train=files / "train.npz", agents=["a", "b"])
    np.savez(files / "bad.npz", features=np.zeros((2, 1)), costs=np.array([[0, -1], [0, 1]]))
    with pytest.raises(DataError, match="costs below 0"):
        outcomes_task(train=files / "bad.npz", agents=["a", "b"])


def test_both_sides_must_name_the_same_agents_surrogate_and_scale(files):
    def schema(**changes):
        return outcomes_task(
            **{"train": files / "train.npz", "agents": ["a", "b", "c"], **changes}
        ).schema

    assert schema() == schema(train=files / "test.npz", batch_size=3)
    for changes in (
        {"agents": ["a", "c", "b"]},
        {"surrogate": "mao_2024"},
        {"surrogate_settings": {"nu": 0.5}},
        {"hidden": [4]},
        {"mean": 1.0},
        {"std": [1.0, 2.0, 1.0]},
    ):
        assert schema(**changes) != schema()


def test_arrays_that_are_no_tensors_are_refused_in_one_line():
    features, costs = outcomes()

    for changes in (
        {"features": features},
        {"costs_BA": costs},
        {"features": (features, features)},
    ):
        with pytest.raises(DataError, match="are a ndarray, must be tensors") as caught:
            made(**changes)
        assert "torch.from_numpy" in caught.value.hint


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_no_examples_is_refused(size):
    with pytest.raises(ConfigError, match=f"batch_size is {size}"):
        made(batch_size=size)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mean": [0.0, 1.0]}, r"mean has shape \(2,\), for 3 features"),
        ({"std": [1.0] * 4}, r"std has shape \(4,\), for 3 features"),
        ({"std": 0.0}, "std is 0.0, must be finite, and above 0"),
        ({"mean": [0.0, math.nan, 0.0]}, "must be finite"),
    ],
)
def test_a_scale_that_does_not_fit_the_features_is_refused_by_name(files, changes, said):
    with pytest.raises(ConfigError, match=said):
        outcomes_task(train=files / "train.npz", agents=["a", "b", "c"], **changes)


def test_losses_of_many_agents_come_in_batches_that_fit_their_pairs():
    costs = torch.rand(200, 400, generator=torch.Generator().manual_seed(0))
    task = made(
        build=lambda: TableRejector(3, 400),
        features=torch.zeros(200, 3),
        costs_BA=costs,
        surrogate="mild_log",
        surrogate_settings={"margins": [1.0] * 400},
    )

    sizes = [len(each) for each in task.losses(task.build_model())]

    assert sizes == [64, 64, 64, 8]
