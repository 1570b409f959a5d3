"""SVHN and Pascal VOC where their files are, in torchvision's layout; else what stands in for them.

The files are tiny and made up here. Nothing is fetched.
"""

import dataclasses
import gzip
import hashlib
import io

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from pyarrow import Table, parquet
from scipy.io import savemat
from torchvision import datasets

from assistlearn.errors import DataError
from experiments.deferral.detection import differences_to_paper, scaled_down
from experiments.deferral.detection_agents import SIZES, _mirrored, build, kept_answers
from experiments.deferral.detection_images import (
    BLOOD_CELLS,
    FILE,
    HEIGHT,
    VOC,
    WIDTH,
    images_of,
    pascal_voc,
)
from experiments.deferral.detection_methods import described, held
from experiments.deferral.help_pictures import STANDS_IN, SVHN_FILES, data_sets
from experiments.deferral.help_setup import QUICK
from experiments.deferral.learning_to_help import main

DIGITS = np.array([10, 1, 2, 9])  # SVHN's files say 10 for the digit 0


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_svhn(folder, monkeypatch, *, count=4):
    """Both files, and their sums where torchvision looks for those of the real ones."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    sums = {}
    for name in SVHN_FILES:
        pixels = random.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        labels = np.resize(DIGITS if count == len(DIGITS) else np.arange(1, 11), (count, 1))
        savemat(folder / name, {"X": pixels, "y": labels})
        digest = hashlib.md5((folder / name).read_bytes()).hexdigest()  # noqa: S324  (its own)
        sums[name.partition("_")[0]] = ["nowhere", name, digest]
    monkeypatch.setattr(datasets.SVHN, "split_list", sums)


@pytest.fixture
def no_fashion(monkeypatch, tmp_path):
    monkeypatch.setattr("experiments.deferral.help_pictures.DEBIAN", tmp_path / "none")


def test_svhn_is_taken_where_it_is_and_nothing_stands_in(tmp_path, monkeypatch, no_fashion):
    write_svhn(tmp_path / "svhn", monkeypatch)

    (found,) = data_sets(tmp_path)

    written = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    assert (found.name, found.stands_in) == ("SVHN", "")
    assert found.train_labels.tolist() == found.test_labels.tolist() == [0, 1, 2, 9]
    assert np.array_equal(found.train.numpy(), written.transpose(3, 2, 0, 1))


def test_half_of_svhn_is_not_svhn(tmp_path, monkeypatch, no_fashion):
    write_svhn(tmp_path / "svhn", monkeypatch)
    (tmp_path / "svhn" / SVHN_FILES[1]).unlink()

    assert [*data_sets(tmp_path)] == []


def test_a_damaged_svhn_is_refused_and_not_stood_in_for(tmp_path, monkeypatch, no_fashion):
    write_svhn(tmp_path / "svhn", monkeypatch)
    (tmp_path / "svhn" / SVHN_FILES[0]).write_bytes(b"no matrix")

    with pytest.raises(DataError, match="cannot read SVHN"):
        [*data_sets(tmp_path)]


def write_idx(folder, count):
    """Fashion-MNIST's four files."""
    folder.mkdir()
    for part in ("train", "t10k"):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            head = bytes([0, 0, 8, len(shape)]) + np.array(shape, dtype=">u4").tobytes()
            values = (np.arange(np.prod(shape)) % 10).astype(np.uint8).tobytes()
            with gzip.open(folder / f"{part}-{kind}-ubyte.gz", "wb") as file:
                file.write(head + values)


def test_fashion_mnist_stands_in_and_says_for_what_and_why(tmp_path):
    write_idx(tmp_path / "fashion-mnist", 20)

    (found,) = data_sets(tmp_path)

    assert found.name == "Fashion-MNIST"
    assert found.stands_in == STANDS_IN
    assert "stands in for SVHN" in STANDS_IN
    assert "--download" in STANDS_IN


def test_the_command_says_that_a_set_stands_in_or_is_the_one_of_the_paper(
    tmp_path, monkeypatch, no_fashion
):
    small = dataclasses.replace(QUICK, images=60, calibration=20, epochs=1, query_costs=(0.25,))
    monkeypatch.setattr("experiments.deferral.learning_to_help.QUICK", small)
    write_svhn(tmp_path / "with" / "svhn", monkeypatch, count=100)
    (tmp_path / "without").mkdir()
    write_idx(tmp_path / "without" / "fashion-mnist", 100)

    with_it, without = (
        CliRunner().invoke(
            main, ["--data", str(tmp_path / name), "--cache", str(tmp_path / "kept"), "--quick"]
        )
        for name in ("with", "without")
    )

    assert with_it.exit_code == without.exit_code == 0, with_it.output + without.output
    assert "stands in" not in with_it.stdout
    assert "SVHN beside SVHN, Table 1" in with_it.stdout
    assert without.stdout.count(STANDS_IN) == 2
    assert "Fashion-MNIST beside SVHN, Table 1" in without.stdout
    assert "these are other images" in without.stdout


def annotation(*objects, width, height):
    """As VOC's XML files have it."""
    found = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>"
        + "".join(
            f"<{tag}>{each}</{tag}>"
            for tag, each in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        )
        + "</bndbox></object>"
        for name, difficult, box in objects
    )
    size = f"<size><width>{width}</width><height>{height}</height></size>"
    return f"<annotation>{size}{found}</annotation>"


@pytest.fixture
def voc(tmp_path):
    """Two images to learn from, one to test on."""
    root = tmp_path / "voc" / "VOCdevkit" / "VOC2007"
    for name in ("ImageSets/Main", "JPEGImages", "Annotations"):
        (root / name).mkdir(parents=True)
    objects = {
        "000001": (("dog", 0, (1, 1, 200, 100)), ("person", 1, (5, 5, 50, 50))),
        "000002": (("tvmonitor", 0, (101, 51, 400, 250)),),
        "000003": (("cat", 0, (1, 1, 500, 400)),),
    }
    for number, (name, found) in enumerate(objects.items()):
        size = (400, 250) if number < 2 else (500, 400)
        Image.new("RGB", size, (60 * number, 10, 20)).save(root / "JPEGImages" / f"{name}.jpg")
        text = annotation(*found, width=size[0], height=size[1])
        (root / "Annotations" / f"{name}.xml").write_text(text)
    (root / "ImageSets/Main/trainval.txt").write_text("000001\n000002\n")
    (root / "ImageSets/Main/test.txt").write_text("000003\n")
    return tmp_path


def test_voc_is_read_without_difficult_objects_on_images_of_one_size(voc):
    found = images_of(voc)

    assert found.subject == VOC
    assert found.train.tolist() == [True, True, False]
    assert found.pixels.shape == (3, 3, HEIGHT, WIDTH)
    assert abs(int(found.pixels[1, 0, 100, 100]) - 60) < 5  # JPEG is lossy
    assert [VOC.classes[each.classes[0]] for each in found.truth] == ["dog", "tvmonitor", "cat"]
    assert [len(each.classes) for each in found.truth] == [1, 1, 1]
    assert found.truth[0].corners[0] == pytest.approx([0, 0, WIDTH / 2, HEIGHT * 0.4])
    assert found.truth[1].corners[0] == pytest.approx([WIDTH / 4, HEIGHT / 5, WIDTH, HEIGHT])


def test_an_image_of_which_every_object_is_difficult_is_left_out(voc):
    path = voc / "voc" / "VOCdevkit" / "VOC2007" / "Annotations" / "000002.xml"
    path.write_text(annotation(("cat", 1, (1, 1, 400, 250)), width=400, height=250))

    found = pascal_voc(voc / "voc")

    assert found.train.tolist() == [True, False]
    assert [VOC.classes[each.classes[0]] for each in found.truth] == ["dog", "cat"]


@pytest.mark.parametrize("text", ["<annotation>", "<annotation></annotation>"])
def test_a_damaged_voc_is_refused(voc, text):
    path = voc / "voc" / "VOCdevkit" / "VOC2007" / "Annotations" / "000003.xml"
    path.write_text(text)

    with pytest.raises(DataError, match="cannot read Pascal VOC"):
        images_of(voc)


def test_blood_cells_stand_in_where_a_list_of_voc_is_missing(voc):
    (voc / "voc" / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "test.txt").unlink()
    stream = io.BytesIO()
    Image.new("RGB", (640, 480)).save(stream, "JPEG")
    row = {
        "image_jpeg": stream.getvalue(), "width": 640, "height": 480, "split": "train",
        "boxes_xyxy": [[0, 0, 64, 48]], "labels": ["WBC"],
    }  # fmt: skip
    (voc / FILE).parent.mkdir()
    parquet.write_table(Table.from_pylist([row]), voc / FILE)

    found = images_of(voc)

    assert found.subject == BLOOD_CELLS
    assert found.truth[0].corners.tolist() == [[0, 0, 32, 24]]


def test_what_stands_in_says_so_and_voc_does_not():
    assert "stand in for Pascal VOC 2007" in BLOOD_CELLS.stands_in
    assert "--download" in BLOOD_CELLS.stands_in
    assert VOC.stands_in == ""
    assert differences_to_paper(VOC).startswith("Other detectors:")
    assert differences_to_paper(BLOOD_CELLS).startswith("Other images and detectors:")


def test_detectors_of_voc_know_its_classes_and_never_see_it_upside_down(voc, tmp_path):
    images = images_of(voc)

    answers = kept_answers(tmp_path / "kept", SIZES[0], images, epochs=1, seed=0)

    detector = build(SIZES[0], VOC)
    assert detector.roi_heads.box_predictor.cls_score.out_features == 21
    assert described(images, answers).shape == (1, 1 + 2 * 20 + 6)
    said = scaled_down(images, [held(images, [answers] * 3)])
    assert said.startswith("VOC 2007 at 320x240 pixels (2 training images, 1 held out), Faster R-")
    assert "rejectors of 47 features" in said
    assert [each.name.startswith("defer_detection-VOC2007-")
            for each in (tmp_path / "kept").iterdir()] == [True]  # fmt: skip
    tops = {
        _mirrored(images, 0, torch.Generator().manual_seed(seed))[1]["boxes"][0, 1].item()
        for seed in range(8)
    }
    assert tops == {0.0}
