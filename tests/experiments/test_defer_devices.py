"""Where networks train: on the CPU nothing changes, elsewhere results say so."""

import dataclasses

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from experiments.deferral.detection_agents import SIZES, trained
from experiments.deferral.detection_images import HEIGHT, WIDTH, Images
from experiments.deferral.detection_metrics import Boxes
from experiments.deferral.devices import CPU, computed_on, own_cache, placed
from experiments.deferral.help_pictures import Pictures, split
from experiments.deferral.help_rejectors import UNSEEN, Arm, side_by_side
from experiments.deferral.help_setup import SMALL
from experiments.deferral.help_world import TABLE_1, kept_world, made_world
from experiments.deferral.learning_to_help import main

SCALE = dataclasses.replace(
    SMALL, images=40, calibration=20, folds=2, batch_size=8, client_epochs=1, epochs=2
)
ARMS = (
    Arm(form="bounded", costs=TABLE_1, view=UNSEEN, sees_logits=True),
    Arm(form="plug-in", costs=TABLE_1, view=UNSEEN, sees_logits=True),
)
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)

    def pixels(count):
        return torch.randint(256, (count, 1, 32, 32), generator=generator).to(torch.uint8)

    pictures = Pictures(
        name="noise",
        train=pixels(80),
        train_labels=torch.arange(80) % 10,
        test=pixels(30),
        test_labels=torch.arange(30) % 10,
    )
    return split(pictures, SCALE, seed=0)


def tensors(value):
    """Every tensor of a dataclass, and of those in it, by its name."""
    for each in dataclasses.fields(value):
        part = getattr(value, each.name)
        if isinstance(part, torch.Tensor):
            yield each.name, part
        else:
            yield from tensors(part)


def test_naming_the_cpu_changes_no_bit(data):
    default = made_world(data, SCALE, seed=0)
    named = made_world(data, SCALE, seed=0, device=torch.device("cpu"))

    scores = [
        side_by_side(ARMS, data, default, SCALE, seed=0),
        side_by_side(ARMS, data, named, SCALE, seed=0, device=torch.device("cpu")),
    ]

    pairs = zip(tensors(default), tensors(named), strict=True)
    assert all(torch.equal(one, other) for (_, one), (_, other) in pairs)
    assert all(torch.equal(scores[0][part], scores[1][part]) for part in scores[0])


def test_what_is_there_already_is_not_copied(data):
    same = placed(data, CPU)

    assert all(
        one.data_ptr() == other.data_ptr()
        for (_, one), (_, other) in zip(tensors(data), tensors(same), strict=True)
    )


def test_tensors_of_dataclasses_in_a_dataclass_are_moved_too(data):
    world = made_world(data, SCALE, seed=0)

    moved = placed(world, torch.device("meta"))

    assert {each.device.type for _, each in tensors(moved)} == {"meta"}
    assert {each.device.type for _, each in tensors(world)} == {"cpu"}


def test_results_of_another_device_say_so_and_are_kept_apart(tmp_path):
    device = torch.device("mps")

    assert "trained on mps" in computed_on(device)
    assert own_cache(tmp_path, device) == tmp_path / "mps"
    assert computed_on(CPU) == ""
    assert own_cache(tmp_path, CPU) == tmp_path


def test_a_device_that_is_unknown_is_refused_before_anything_is_read(tmp_path):
    result = CliRunner().invoke(main, ["--data", str(tmp_path), "--device", "abacus"])

    assert result.exit_code == 2
    assert "abacus" in result.output


@CUDA
def test_a_gpu_trains_the_same_models_from_the_same_beginnings(data, tmp_path):
    device = torch.device("cuda")
    expected = made_world(data, SCALE, seed=0)

    world = kept_world(
        tmp_path / "world.safetensors", lambda: made_world(data, SCALE, seed=0, device=device)
    )
    scores = side_by_side(ARMS, data, world, SCALE, seed=0, device=device)

    on_cpu = side_by_side(ARMS, data, world, SCALE, seed=0)
    assert {each.device.type for _, each in tensors(world)} == {"cpu"}
    torch.testing.assert_close(world.client.test, expected.client.test, atol=0.05, rtol=0.05)
    for part in ("calibration", "test"):
        assert scores[part].device.type == "cpu"
        torch.testing.assert_close(scores[part], on_cpu[part], atol=0.05, rtol=0.05)


@CUDA
def test_a_detector_trains_on_a_gpu():
    truth = Boxes(corners=np.array([[40.0, 40.0, 90.0, 90.0]]), classes=np.array([0]))
    images = Images(
        pixels=torch.zeros(2, 3, HEIGHT, WIDTH, dtype=torch.uint8),
        truth=(truth, truth),
        train=np.array([True, False]),
    )

    detector = trained(SIZES[0], images, epochs=1, seed=0, device=torch.device("cuda"))

    assert {each.device.type for each in detector.parameters()} == {"cuda"}
