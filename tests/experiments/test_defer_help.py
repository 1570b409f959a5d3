"""Learning to help, what is measured and said: tables, curves, sentences, on data made up here."""

import dataclasses
import io
import json
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from matplotlib.image import imread
from PIL import Image
from pyarrow import Table, parquet

from assistlearn.deferral.help import HelpCosts
from assistlearn.deferral.report import Spread
from experiments.deferral.help_curves import BOUNDS, ORACLE, RANDOM, bounded, swept
from experiments.deferral.help_figures import draw_costs, draw_failure, draw_rates
from experiments.deferral.help_pictures import data_sets, split
from experiments.deferral.help_published import differences
from experiments.deferral.help_rejectors import Scores
from experiments.deferral.help_results import (
    ALL_LOCAL,
    ALL_REMOTE,
    CONFIDENCE,
    MOVED,
    OURS,
    PLUG_IN,
    PUBLISHED,
    STEPS,
    Trained,
    all_arms,
    rows,
    trials_at,
)
from experiments.deferral.help_setup import PAPER, QUICK
from experiments.deferral.help_show import plain, tables
from experiments.deferral.help_tables import TABLE_1_PUBLISHED, Side, contrast, grouped, implied
from experiments.deferral.help_world import TABLE_1, Client, Server, World, views
from experiments.deferral.learning_to_help import findings, main, verdicts

SCALE = dataclasses.replace(QUICK, images=40, calibration=200, epochs=2)


def client(generator, labels, *, without=None):
    """Right on about half of the images, and sure of it there."""
    right = torch.rand(len(labels), generator=generator) < 0.5
    said = torch.where(right, labels, (labels + 1) % 9)
    if without is not None:
        said = torch.where(said == without, 0, said)
    noise = torch.randn(len(labels), 10, generator=generator)
    return noise + (2.0 + 2.0 * right)[:, None] * torch.nn.functional.one_hot(said, 10)


def made_up(seed):
    """Labels, a client, a better server, rejectors of which some know a little."""
    generator = torch.Generator().manual_seed(seed)
    sizes = {"train": 40, "calibration": 200, "test": 300}
    labels = {part: torch.arange(size) % 10 for part, size in sizes.items()}

    def clients(**without):
        return Client(**{part: client(generator, own, **without) for part, own in labels.items()})

    def chance(*shape):
        return torch.rand(*shape, generator=generator) < 0.8

    world = World(
        client=clients(),
        lacking=clients(without=9),
        server=Server(
            seen=chance(len(views(SCALE)), SCALE.epochs, 40),
            unseen=chance(40),
            calibration=chance(200),
            test=chance(300),
            together=torch.randn(300, 2, generator=generator),
        ),
        unseen_client=client(generator, labels["train"]),
    )
    return Trained(
        seed=seed,
        training_labels=labels["train"],
        calibration_labels=labels["calibration"],
        test_labels=labels["test"],
        world=world,
        scores={
            arm: Scores(
                calibration=torch.randn(200, 2, generator=generator),
                test=torch.randn(300, 2, generator=generator),
            )
            for arm in all_arms(SCALE)
        },
    )


@pytest.fixture(scope="module")
def seeds():
    return [made_up(seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def found(seeds):
    return findings(seeds, SCALE)


def side(*values):
    return Side(**dict(zip(("ratio", "client", "server", "difference"), values, strict=True)))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("CIFAR-10", (0.6306, 0.7396, 0.7043, 0.6915, 0.4805, 0.3694, 0.5755)),
        ("SVHN", (0.8816, 0.9160, 0.8912, 0.8845, 0.1351, 0.1184, 0.3550)),
    ],
)
def test_by_its_own_loss_the_published_system_is_worse_than_never_asking(source, expected):
    found = implied(TABLE_1_PUBLISHED[source])

    assert dataclasses.astuple(found) == pytest.approx(expected, abs=2e-4)
    assert found.loss > found.all_local


def test_a_contrastive_evaluation_worked_out_by_hand():
    right = np.array([[1, 1], [1, 0], [0, 1], [0, 1], [0, 0]], dtype=bool)
    agents = np.array([0, 0, 1, 1, 1])

    local, remote = contrast(right, agents)

    assert local == side(0.4, 1.0, 0.5, -0.5)
    assert remote == side(0.6, 0.0, pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_a_side_without_images_has_no_accuracy():
    local, remote = contrast(np.ones((3, 2), dtype=bool), np.zeros(3, dtype=int))

    assert local == side(1.0, 1.0, 1.0, 0.0)
    assert remote.ratio == 0
    assert np.isnan(remote.client)


def test_means_over_classes_and_over_images_differ_where_classes_differ_in_size():
    labels = np.repeat(np.arange(10), [1, 1, 1, 1, 1, 1, 1, 1, 1, 11])
    values = (labels == 9).astype(float)

    missing, others, macro, micro = grouped(values, labels)

    assert (missing, others) == (1.0, 0.0)
    assert macro == pytest.approx(0.1)
    assert micro == pytest.approx(11 / 20)


def test_every_method_has_its_loss_and_the_oracle_undercuts_them_all(seeds):
    trials = trials_at(seeds, STEPS, TABLE_1)

    found = rows(trials)

    right = np.stack([each.test_right().numpy() for each in seeds])
    expected = {
        ALL_LOCAL: (1 - right[..., 0]).mean(),
        ALL_REMOTE: (0.25 + 1.25 * (1 - right[..., 1])).mean(),
    }
    for name, loss in expected.items():
        assert found[name].loss.mean == pytest.approx(loss)
        assert found[name].minus_random.mean == pytest.approx(0, abs=1e-12)
    assert {PUBLISHED + MOVED, OURS + MOVED, CONFIDENCE, PLUG_IN} < {*found}
    assert all(found[ORACLE].loss.mean <= row.loss.mean for row in found.values())
    assert found[CONFIDENCE].minus_all_local.mean < 0  # this client knows what it knows


def test_the_stochastic_rule_is_the_published_piecewise_linear_curve(seeds):
    """Kink at the rejector's own rate; with one branch on either side of it."""
    found = bounded(seeds)[f"stochastic rule, {PUBLISHED}"]

    accuracies = [each.mean for each in found.accuracy]
    right = np.stack([each.test_right().double().numpy() for each in seeds])
    assert accuracies[0] == pytest.approx(right[..., 0].mean())
    assert accuracies[-1] == pytest.approx(right[..., 1].mean())
    bends = np.abs(np.diff(accuracies, 2)) > 1e-9
    assert 1 <= bends.sum() <= 4  # a kink shows in two differences, for each of two seeds
    assert not bends[:3].any()
    assert not bends[-3:].any()


def test_bounded_rules_keep_to_their_bound_and_only_knowledge_gains(seeds):
    found = bounded(seeds)

    for name in (RANDOM, ORACLE):
        assert [each.mean for each in found[name].rate] == pytest.approx(BOUNDS)
    assert [each.mean for each in found[RANDOM].gain] == pytest.approx([0] * len(BOUNDS), abs=1e-9)
    for each in found.values():
        assert all(one.mean <= best.mean + 1e-9 for one, best in zip(
            each.gain, found[ORACLE].gain, strict=True))  # fmt: skip
    assert found[CONFIDENCE].gain[3].mean > 0.05


def test_the_sweep_has_both_error_costs_and_every_query_cost(seeds):
    found = swept(seeds, SCALE)

    assert [*found] == [
        HelpCosts(query_cost=query, server_error_cost=error)
        for error in (1.0, 1.25)
        for query in SCALE.query_costs
    ]
    free = found[HelpCosts(query_cost=0.0, server_error_cost=1.0)]
    assert free[ALL_REMOTE].loss.mean < free[ALL_LOCAL].loss.mean


def test_tables_sentences_json_and_figures_say_what_was_found(found, tmp_path):
    texts = [each.text() for each in tables("Fashion-MNIST", found)]
    sentences = [*verdicts("Fashion-MNIST", found)]
    document = json.loads(json.dumps(plain(found)))

    assert len(texts) == 7
    assert "published, SVHN" in texts[1]
    assert "0.135" in texts[1]
    assert re.search(r"published, SVHN: jointly +90.0 / 93.5 ", texts[6])
    assert "|D| (once an epoch)" in texts[4]
    assert sentences[0].startswith("Fashion-MNIST, c_1 = 1.25, c_e = 0.25: published recipe has")
    assert len(document["bounded"][RANDOM]["accuracy"]) == len(BOUNDS)
    assert document["stale"]["c_1=1.25, c_e=0.25"]["epoch"]["minus_synchronous"][0] != 0
    draw_failure(tmp_path / "failure.png", {"Fashion-MNIST": found.steps})
    draw_costs(tmp_path / "costs.png", {"Fashion-MNIST": found.swept})
    draw_rates(tmp_path / "rates.png", {"Fashion-MNIST": found.bounded})
    for name in ("failure", "costs", "rates"):
        assert imread(tmp_path / f"{name}.png").shape[0] > 400


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.3, "worse than never asking"),
        (-0.3, -0.1, "better than never asking"),
        (-0.1, 0.1, "not told apart from never asking"),
    ],
)
def test_a_verdict_follows_from_the_interval(found, low, high, expected):
    value = Spread(mean=(low + high) / 2, half_width=(high - low) / 2, count=2)
    row = dataclasses.replace(found.steps[OURS], minus_all_local=value)

    said = [*verdicts("x", dataclasses.replace(found, steps={**found.steps, OURS: row}))]

    assert said[1].endswith(f"{expected}.")


@pytest.mark.parametrize(("half_width", "said"), [(0.01, False), (0.9, True)])
def test_published_numbers_and_a_reason_stand_beside_ours(found, half_width, said):
    """That seeds disagree is said where their interval says it."""
    rate = Spread(mean=0.5, half_width=half_width, count=3)
    row = dataclasses.replace(found.steps[PUBLISHED], reject_rate=rate)

    models, table_1, table_6 = differences(
        "Fashion-MNIST", dataclasses.replace(found, steps={**found.steps, PUBLISHED: row}), SCALE
    )

    assert "client 88.2 and server 91.6 % published" in models
    assert "these are other images" in models
    assert "40 images of 16x16 pixels only" in models
    assert "reject rate 8.3 %" in table_1
    assert f"50.0 ±{100 * half_width:.1f} %" in table_1
    assert ("differ widely" in table_1) == said
    assert "93.5 % asked and 90.0 % right published" in table_6


def test_at_full_size_the_reason_is_the_images_held_out(found):
    models, *_ = differences("CIFAR-10", found, PAPER)

    assert "45,000 images were trained on, not all" in models


def write_strips(path, images, labels):
    """Rows of 100 images, one above the other, as the files of CIFAR-10 have them."""
    rows_of = []
    for start in range(0, len(images), 100):
        stream = io.BytesIO()
        strip = images[start : start + 100].reshape(-1, 32, 3)
        Image.fromarray(strip).save(stream, "WEBP", lossless=True, exact=True)
        rows_of.append({"strip_webp": stream.getvalue(), "labels": labels[start : start + 100]})
    path.parent.mkdir(exist_ok=True)
    parquet.write_table(Table.from_pylist(rows_of), path)


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for part, count in (("train", 400), ("test", 200)):
        images = random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        write_strips(
            tmp_path / "cifar10" / f"cifar10_{part}.parquet", images, [n % 10 for n in range(count)]
        )
    return tmp_path


def test_strips_of_images_are_read_as_they_were_written(folder):
    pictures = next(data_sets(folder))

    written = np.random.default_rng(0).integers(0, 256, (400, 32, 32, 3), dtype=np.uint8)
    assert pictures.name == "CIFAR-10"
    assert np.array_equal(pictures.train.permute(0, 2, 3, 1).numpy(), written)
    assert pictures.test_labels.tolist() == [n % 10 for n in range(200)]


def test_the_parts_of_a_split_do_not_overlap_and_images_are_averaged(folder):
    pictures = next(data_sets(folder))
    numbered = dataclasses.replace(pictures, train_labels=torch.arange(400))

    data = split(numbered, dataclasses.replace(SCALE, images=100, calibration=50), seed=3)

    taken = torch.cat([data.train_labels, data.calibration_labels])
    assert len(taken.unique()) == 150
    first = pictures.train[data.train_labels[0]].double() / 127.5 - 1
    averaged = first.reshape(3, 16, 2, 16, 2).mean(dim=(2, 4))
    torch.testing.assert_close(data.train[0].double(), averaged, atol=1e-6, rtol=0)
    assert data.shape == (3, 16, 16)


def test_the_command_runs_to_its_end_and_says_that_it_is_scaled_down(folder, monkeypatch, tmp_path):
    small = dataclasses.replace(QUICK, images=60, calibration=40, epochs=1, query_costs=(0.25,))
    monkeypatch.setattr("experiments.deferral.learning_to_help.QUICK", small)
    monkeypatch.setattr("experiments.deferral.help_pictures.DEBIAN", tmp_path / "none")
    arguments = ["--data", str(folder), "--cache", str(tmp_path / "cache"), "--quick"]

    first, second = (CliRunner().invoke(main, arguments) for _ in range(2))

    assert first.exit_code == 0, first.output
    assert first.stdout == second.stdout
    assert first.stdout.count("SCALED DOWN: 60 training images of 16x16 pixels") == 2
    assert "CIFAR-10: Table 1, both models on both sides" in first.stdout
    assert "Fashion-MNIST" not in first.stdout
