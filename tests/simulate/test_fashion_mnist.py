"""The reader of Fashion-MNIST's original files."""

import gzip
import struct

import numpy as np
import pytest

from assistlearn.errors import DataError
from assistlearn.tasks import Share
from experiments.fashion_mnist import fashion_mnist


def write_idx(path, array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("t10k", 10)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (count, 28, 28)))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", np.arange(count) % 10)
    return tmp_path


def test_files_become_a_task_that_can_be_divided(root):
    whole = fashion_mnist(root=root, model="linear", device="cpu")
    learner = fashion_mnist(
        root=root, model="linear", device="cpu", share=Share(party="learner", imbalance=0.0)
    )

    assert whole.examples == 40
    assert learner.examples == 2
    (losses,) = whole.losses(whole.build_model())
    assert losses.shape == (40,)


def test_missing_and_damaged_files_are_data_errors_with_a_hint(root):
    with pytest.raises(DataError, match="cannot read") as caught:
        fashion_mnist(root=root / "absent")
    assert "dataset-fashion-mnist" in caught.value.hint

    path = root / "train-labels-idx1-ubyte.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(DataError, match="cannot read"):
        fashion_mnist(root=root)
    path.write_bytes(gzip.compress(gzip.decompress(whole)[:-1]))
    with pytest.raises(DataError, match="not a whole IDX file"):
        fashion_mnist(root=root)
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(DataError, match="not a whole IDX file"):
        fashion_mnist(root=root)
