"""Learning to help, how it is trained: the server once, its stale views, rejectors side by side."""

import dataclasses
from functools import partial

import pytest
import torch
from torch.optim import SGD

from assistlearn.deferral.help import HelpCosts, rejector_surrogate
from assistlearn.deferral.help_training import ServerCopy, train_help
from experiments.deferral.help_pictures import Pictures, split
from experiments.deferral.help_rejectors import UNSEEN, Arm, side_by_side, trained
from experiments.deferral.help_setup import (
    MOMENTUM,
    PAPER,
    SMALL,
    Classifier,
    epoch_order,
    lenet,
    logits,
    rejector_optimizer,
    scaled,
    server_network,
)
from experiments.deferral.help_world import Epochs, kept_world, made_world, new_rejector, views

COSTS = HelpCosts(query_cost=0.25, server_error_cost=1.25)
SCALE = dataclasses.replace(
    SMALL, images=60, calibration=20, folds=2, batch_size=8, client_epochs=1, epochs=2
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)

    def pixels(count):
        return torch.randint(256, (count, 1, 32, 32), generator=generator).to(torch.uint8)

    pictures = Pictures(
        name="noise",
        train=pixels(100),
        train_labels=torch.arange(100) % 10,
        test=pixels(30),
        test_labels=torch.arange(30) % 10,
    )
    return split(pictures, SCALE, seed=0)


@pytest.fixture(scope="module")
def world(data):
    return made_world(data, SCALE, seed=0)


def client_of_world(data):
    client = Classifier(
        partial(lenet, data.shape),
        rate=SCALE.client_rate,
        epochs=SCALE.client_epochs,
        batch_size=SCALE.batch_size,
        seed=0,
        label="client",
    )
    client.fit(data.train, data.train_labels)
    return client.model


@pytest.mark.parametrize("view", views(SCALE))
def test_a_rejector_trained_on_recorded_views_is_the_one_that_the_librarys_loop_trains(
    data, world, view
):
    """At every S: the library trains server and rejector together, from the same beginnings."""
    scale = dataclasses.replace(SCALE, rejector_adam=False, rejector_rate=1e-4)
    arm = Arm(form="literal", costs=COSTS, view=view)
    rejector = new_rejector(data.shape, seed=0)
    server = Classifier(
        partial(server_network, data.shape, alexnet=False),
        rate=0.0, epochs=0, batch_size=1, seed=0, label="server",
    ).model  # fmt: skip
    train_help(
        client_model=client_of_world(data),
        server_model=server,
        rejector=rejector,
        server_optimizer=SGD(server.parameters(), lr=scale.server_rate, momentum=MOMENTUM),
        rejector_optimizer=rejector_optimizer(rejector.parameters(), scale),
        batches=Epochs(data, scale.batch_size, seed=0),
        rejector_loss=partial(rejector_surrogate, costs=COSTS),
        epochs=scale.epochs,
        server_view=ServerCopy(server),
        sync_interval=view,
    )

    arms = [arm, dataclasses.replace(arm, form="bounded")]
    found = side_by_side(arms, data, world, scale, seed=0)

    torch.testing.assert_close(found["test"][0], logits(rejector, data.test), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found["test"][0], found["test"][1], atol=1e-4)
    assert torch.equal(world.server.test, logits(server, data.test).argmax(1) == data.test_labels)


def test_stale_views_are_what_differs_between_the_views(world):
    seen = world.server.seen

    assert len(seen) == len(views(SCALE)) == 4
    assert not torch.equal(seen[0], seen[-1])


def test_no_server_that_is_asked_about_an_unseen_image_trained_on_it(data):
    """Images are noise: what is right about them far above chance has seen them."""
    long = dataclasses.replace(SCALE, epochs=25, server_rate=0.05)

    server = made_world(data, long, seed=0).server

    assert float(server.seen[0, -1].double().mean()) > 0.8
    assert float(server.unseen.double().mean()) < 0.35


def test_the_client_without_a_class_never_names_it(data):
    long = dataclasses.replace(SCALE, client_epochs=30, client_rate=0.05)

    world = made_world(data, long, seed=0)

    assert (world.lacking.train.argmax(1) != 9).all()
    assert (world.client.train.argmax(1) == 9).any()


def test_a_world_and_rejectors_are_kept_and_read_back(data, world, tmp_path):
    path = tmp_path / "world.safetensors"
    kept_world(path, lambda: world)

    again = kept_world(path, lambda: pytest.fail("made again"))
    arms = [
        Arm(form="plug-in", costs=COSTS, view=UNSEEN, sees_logits=True),
        Arm(form="released code", costs=COSTS, view="epoch"),
    ]
    first, second = (trained(arms, data, again, SCALE, seed=0, folder=tmp_path) for _ in range(2))

    assert torch.equal(again.server.seen, world.server.seen)
    assert torch.equal(again.lacking.test, world.lacking.test)
    assert torch.equal(again.unseen_client, world.unseen_client)
    assert [*first] == [*second]
    for arm in arms:
        assert first[arm].test.shape == (30, 2)
        assert torch.equal(first[arm].calibration, second[arm].calibration)


def test_every_epoch_goes_through_all_examples_in_an_order_of_its_own():
    orders = [epoch_order(50, seed=1, epoch=epoch) for epoch in (0, 1)]

    assert all(torch.equal(each.sort().values, torch.arange(50)) for each in orders)
    assert not torch.equal(*orders)


def test_scale_1_has_the_papers_models_and_settings():
    scale, shape = scaled(1.0), (3, 32, 32)

    sizes = [
        sum(each.numel() for each in model.parameters())
        for model in (
            lenet(shape),
            new_rejector(shape, seed=0),
            server_network(shape, alexnet=True),
        )
    ]

    assert scale == PAPER
    assert (scale.epochs, scale.batch_size, scale.intervals) == (15, 16, (100, 1_000))
    assert sizes == [62_006, 61_326, 57_044_810]
    assert len(scale.query_costs) == 21
    assert "SCALED DOWN" in str(scaled(0.1))
    assert "4,500 training images" in str(scaled(0.1))
    assert "SCALED DOWN" not in str(scale)
