"""What people answered: votes, readings and halves, on small files like the real ones."""

import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from experiments.deferral.humans_data import _votes, chest_xrays, cifar10h, cifar10n, hate_speech
from experiments.deferral.humans_images import (
    MODEL_IMAGES,
    SmallNetwork,
    kept_outputs,
    read_images,
    seen,
    trained,
)

FINDINGS = ("fracture", "pneumothorax", "airspace_opacity", "nodule_mass")


def write_readings(folder, readings, *, truth=(0, 0, 0, 0)):
    """Readings of each image by readers 0, 1, 2, as words, one for each finding."""
    rows = [
        {
            "image_id": f"image {image}",
            "patient_id": image // 2,
            "reader_id": reader,
            **{f"reader_{name}": words[n] for n, name in enumerate(FINDINGS)},
            **{
                f"truth_{name.replace('nodule_', 'nodule_or_')}": truth[n]
                for n, name in enumerate(FINDINGS)
            },
        }
        for image, by_reader in enumerate(readings)
        for reader, words in enumerate(by_reader)
    ]
    path = folder / "l2d_nih_readers" / "nih_chest_xray_reader_labels.parquet"
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_images(path, pixels, labels):
    """Strips of four images, in WebP without loss."""
    strips = []
    for start in range(0, len(pixels), 4):
        stream = io.BytesIO()
        strip = pixels[start : start + 4].reshape(-1, 32, 3)
        Image.fromarray(strip).save(stream, "WEBP", lossless=True)
        strips.append(stream.getvalue())
    parts = [labels[start : start + 4].tolist() for start in range(0, len(labels), 4)]
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"strip_webp": strips, "labels": parts}), path)


def bright_and_dark(count, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=count)
    pixels = generator.integers(100, size=(count, 32, 32, 3)) + 150 * labels[:, None, None, None]
    return pixels.astype(np.uint8), labels.astype(np.int64)


def test_votes_are_drawn_as_often_as_they_were_given():
    counts = np.tile([3, 0, 1], (40_000, 1))

    votes = _votes(counts, np.random.default_rng(0))

    shares = np.bincount(votes, minlength=3) / 40_000
    assert shares[1] == 0
    assert shares[0] == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / 40_000))


def test_votes_of_one_byte_do_not_overflow():
    counts = np.full((1000, 10), 60, dtype=np.uint8)

    votes = _votes(counts, np.random.default_rng(0))

    assert set(votes.tolist()) == set(range(10))


def test_images_are_read_back_as_they_were_written(tmp_path):
    pixels, labels = bright_and_dark(12)
    write_images(tmp_path / "part" / "images.parquet", pixels, labels)

    found_pixels, found_labels = read_images(tmp_path / "part" / "images.parquet")

    assert np.array_equal(found_pixels, pixels)
    assert np.array_equal(found_labels, labels)


def test_a_network_learns_to_tell_bright_from_dark_and_twice_the_same():
    torch.set_num_threads(1)
    pixels, labels = bright_and_dark(256)

    first, again = (trained(pixels, labels, epochs=6) for _ in range(2))

    made = seen(first, bright_and_dark(64, seed=1)[0])
    assert (made.probabilities.argmax(axis=1) == bright_and_dark(64, seed=1)[1]).mean() > 0.9
    assert np.allclose(made.probabilities.sum(axis=1), 1, atol=1e-5)
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_network_is_small():
    assert sum(each.numel() for each in SmallNetwork().parameters()) < 250_000


@pytest.fixture
def image_files(tmp_path):
    """Outputs of a network for all images that it has not seen, and labels of people."""
    generator = np.random.default_rng(0)
    told = generator.dirichlet(np.ones(10), size=20_000).astype(np.float32)
    hidden = generator.normal(size=(20_000, 3)).astype(np.float32)
    np.savez(
        tmp_path / "defer_humans_cifar10_1.npz",
        rest_features=hidden, rest_probabilities=told,
        test_features=hidden[:10_000], test_probabilities=told[:10_000],
    )  # fmt: skip
    labels = generator.integers(10, size=MODEL_IMAGES + 20_000)
    columns = dict.fromkeys(("clean_label", "aggre_label", "worse_label"), labels)
    columns |= {f"random_label{n}": (labels + (n == 3)) % 10 for n in (1, 2, 3)}
    (tmp_path / "cifar10n").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "cifar10n" / "cifar10n_train_labels.parquet")
    counts = np.zeros((10_000, 10), dtype=np.uint8)
    counts[np.arange(10_000), labels[:10_000]] = 50
    names = {f"count_{n}": counts[:, n] for n in range(10)}
    (tmp_path / "cifar10h").mkdir()
    pq.write_table(
        pa.table({**names, "label": labels[:10_000].astype(np.uint8)}),
        tmp_path / "cifar10h" / "cifar10h_test_counts.parquet",
    )
    return tmp_path


def test_annotators_are_asked_about_images_that_the_network_has_not_seen(image_files):
    asked = cifar10n(image_files, image_files, 0, 1.0)

    seen_rest, _ = kept_outputs(image_files, image_files, scale=1.0)
    assert len(asked.errors) == 20_000
    assert np.allclose(asked.features[:, -1], seen_rest.probabilities.max(axis=1))
    # One of the three annotators is always wrong in these files, and each is asked a third.
    assert asked.errors[:, 1].mean() == pytest.approx(1 / 3, abs=0.02)
    assert asked.errors[:, 2].sum() == 0


def test_a_person_whose_fellows_all_agree_answers_as_they_do(image_files):
    asked = cifar10h(image_files, image_files, 0, 1.0)

    assert asked.errors[:, 1].sum() == 0
    assert asked.test.mean() == 0.5


def test_a_scaled_study_takes_a_share_of_the_rows_and_always_the_same(image_files):
    (image_files / "defer_humans_cifar10_1.npz").rename(
        image_files / "defer_humans_cifar10_0.1.npz"
    )

    first, other = (cifar10h(image_files, image_files, seed, 0.1) for seed in (0, 1))

    assert len(first.errors) == 1000
    assert np.array_equal(first.features, other.features)
    assert not np.array_equal(first.test, other.test)


def test_a_hedge_is_half_an_error_and_a_majority_may_hedge(tmp_path):
    write_readings(tmp_path, [[("YES", "HEDGE", "NO", "NO")] * 3] * 4)

    asked = chest_xrays(tmp_path, tmp_path, 0, 1.0)

    assert asked.errors.tolist() == [[1.5, 1.5, 1.5]] * 4
    assert asked.features[:, -1].tolist() == [-1.0] * 4


def test_the_majority_outvotes_one_reader(tmp_path):
    wrong, right = ("YES",) * 4, ("NO",) * 4
    write_readings(tmp_path, [[wrong, right, right]] * 40)

    asked = chest_xrays(tmp_path, tmp_path, 0, 1.0)

    assert asked.errors[:, 2].sum() == 0
    assert {0.0, 4.0} == set(asked.errors[:, 0])  # who reads first is drawn by lot


def test_images_of_one_patient_are_in_one_half_and_few_readings_are_left_out(tmp_path):
    readings = [[("NO",) * 4] * 3 for _ in range(40)]
    readings[7] = readings[7][:2]
    write_readings(tmp_path, readings)

    asked = chest_xrays(tmp_path, tmp_path, 0, 1.0)

    patients = np.sort(np.char.partition([f"image {n}" for n in range(40)], " ")[:, 2])
    patient = np.array([int(each) // 2 for each in patients if each != "7"])
    assert len(asked.errors) == 39
    for each in np.unique(patient):
        assert len(set(asked.test[patient == each])) == 1


def test_a_post_is_judged_by_the_majority_and_the_model_answers_by_cross_fitting(tmp_path):
    generator = np.random.default_rng(0)
    label = generator.integers(3, size=300)
    words = np.array(["foul", "rude", "kind"])[label]
    # The label says nothing of the word for half of the posts, so nobody can be right on all.
    noise = generator.uniform(size=300) < 0.5
    words[noise] = np.array(["foul", "rude", "kind"])[generator.integers(3, size=noise.sum())]
    counts = {
        f"n_{name}": np.where(label == n, 2, np.where((label + 1) % 3 == n, 1, 0))
        for n, name in enumerate(("hate", "offensive", "neither"))
    }
    texts = [f"{word} {' '.join(f'w{each}' for each in generator.integers(60, size=60))}"
             for word in words]  # fmt: skip
    path = tmp_path / "l2d_hatespeech" / "hatespeech_annotator_counts.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({**counts, "label": label, "text": texts}), path)

    asked = hate_speech(tmp_path, tmp_path, 0, 1.0)

    train = ~asked.test
    assert asked.errors[:, 1].mean() == pytest.approx(1 / 3, abs=0.12)
    assert asked.errors[train, 0].mean() > 0.2  # a model that saw these posts would be right
    assert asked.errors[:, 0].mean() < 0.6


def test_the_people_are_as_good_as_is_published():
    folder = Path(os.environ.get("ASSISTLEARN_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = folder / "cifar10h" / "cifar10h_test_counts.parquet"
    if not path.exists():
        pytest.skip(f"CIFAR-10H is not in {folder}: set ASSISTLEARN_DATA")
    table = pq.read_table(path)
    counts = np.stack([table[name].to_numpy() for name in table.column_names[:10]], axis=1)

    votes = _votes(counts, np.random.default_rng(0))

    assert (votes == table["label"].to_numpy()).mean() == pytest.approx(0.9523, abs=0.01)
