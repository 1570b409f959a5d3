"""CIFAR-10 as features, a main model on them, and simulated experts that know some classes.

Letters: B images, A agents, K classes, F features, P patches.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional

from assistlearn.deferral.arrays import Floats, Ints
from assistlearn.durable import disk_errors
from assistlearn.randomness import derive_seed
from experiments.deferral.common import Lesson

CLASSES: Final = 10
STRIP: Final = 100  # images in a row of the file
MAIN, REJECTOR, TEST = 10_000, 6_000, 5_000  # images for the main model, the rejector and the test
FILTERS, PATCH, COMPONENTS = 128, 6, 128
SEEN: Final = 48  # components that the rejector sees
RIGHT: Final = 0.9  # how often an expert is right on its own classes; elsewhere it guesses
PRICE: Final = 0.1  # of asking an expert, in errors
HELD_OUT: Final = 0.25
FAINT: Final = 10.0  # variance of pixels (0 to 255) that is noise: contrast is divided by more


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Whose experts know how many classes."""

    label: str
    classes: tuple[int, ...]
    """How many classes each expert knows, the first expert the most; ten in all."""
    tail: float = 1.0
    """Frequency of the last expert's last class, of that of the first one's first."""


SETTINGS: Final = (
    Setting(label="exponential 7:2:1", classes=(7, 2, 1)),
    Setting(label="step 4:4:1:1", classes=(4, 4, 1, 1)),
    Setting(label="exponential 7:2:1, classes 50:1", classes=(7, 2, 1), tail=0.02),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """Features of images, and what the main model makes of them."""

    features: Floats
    """The main model's confidence, its log-probabilities, and components. ``(B, F)``."""
    answers: Ints
    """The main model's. ``(B,)``."""
    labels: Ints
    """``(B,)``."""


def pictures(folder: Path, cache: Path) -> tuple[Pictures, Pictures]:
    """Images for the rejector, and test images; none that the main model was fitted on.

    Features are those of Coates and Ng ("The importance of encoding versus training with sparse
    coding and vector quantization", ICML 2011) in small: whitened random patches as filters, soft
    thresholds, sums over quadrants; then principal components. The main model is a multinomial
    logistic regression.
    """
    path = cache / "image_agents.npz"
    if not path.exists():
        made = _made(folder)
        with disk_errors(f"write {path}"):
            cache.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part")
            with unfinished.open("wb") as stream:
                np.savez(stream, **made)
            unfinished.rename(path)
    with disk_errors(f"read {path}"), np.load(path) as found:
        every = Pictures(**{each: found[each] for each in ("features", "answers", "labels")})
    return some(every, np.arange(REJECTOR)), some(every, np.arange(REJECTOR, REJECTOR + TEST))


def some(every: Pictures, rows: Ints) -> Pictures:
    """Only these images."""
    return Pictures(
        features=every.features[rows], answers=every.answers[rows], labels=every.labels[rows]
    )


def _made(folder: Path) -> dict[str, Any]:
    train, labels = _images(folder / "cifar10_train.parquet", MAIN + REJECTOR)
    test, test_labels = _images(folder / "cifar10_test.parquet", TEST)
    encode = _encoder(train[:MAIN])
    main, rest = encode(train[:MAIN]), encode(torch.cat([train[MAIN:], test]))
    components = PCA(COMPONENTS, whiten=True, random_state=0).fit(main)
    model = LogisticRegression(C=0.01, max_iter=200)
    model.fit(components.transform(main), labels[:MAIN])
    values = components.transform(rest)
    logs = model.predict_log_proba(values)
    return {
        "features": np.hstack([np.exp(logs.max(axis=1, keepdims=True)), logs, values[:, :SEEN]]),
        "answers": logs.argmax(axis=1),
        "labels": np.concatenate([labels[MAIN:], test_labels]),
    }


def _images(path: Path, count: int) -> tuple[Tensor, Ints]:
    """The first images of a file, and their classes. Shape ``(B, 3, 32, 32)``, 0 to 255."""
    with disk_errors(f"read {path}"):
        table = pq.read_table(path, columns=["strip_webp", "labels"]).slice(0, -(-count // STRIP))
    strips = [np.asarray(Image.open(io.BytesIO(each.as_py())).convert("RGB")) for each in table[0]]
    pixels = torch.from_numpy(np.concatenate(strips).reshape(-1, 32, 32, 3)[:count])
    return pixels.permute(0, 3, 1, 2).float(), np.concatenate(table[1].to_pylist())[:count]


def _encoder(images: Tensor) -> Any:
    """From images to sums over quadrants of thresholded filter outputs, ``(B, 8 * FILTERS)``.

    Filters are patches of ``images``, normalised and whitened; a patch is normalised before it is
    filtered, which is done here by filtering first and correcting for mean and deviation.
    """
    generator = torch.Generator().manual_seed(0)
    size = 3 * PATCH * PATCH
    windows = functional.unfold(images[:2000], PATCH, stride=9).transpose(1, 2).reshape(-1, size)
    centred = windows - windows.mean(dim=1, keepdim=True)
    normal = centred / (windows.var(dim=1, keepdim=True) + FAINT).sqrt()
    mean = normal.mean(dim=0)
    values, axes = torch.linalg.eigh(torch.cov(normal.T))
    whiten = axes @ torch.diag((values + 0.1).rsqrt()) @ axes.T
    drawn = torch.randperm(len(normal), generator=generator)[:FILTERS]
    filters = functional.normalize((normal[drawn] - mean) @ whiten, dim=1)
    kernel = filters @ whiten  # applied to normalised patches, less their mean
    offset = kernel @ mean
    kernel = kernel - kernel.mean(dim=1, keepdim=True)  # so a patch's own mean has no effect

    def encode(some_images: Tensor) -> Floats:
        parts = []
        for block in torch.split(some_images, 200):
            raw = functional.conv2d(block, kernel.view(-1, 3, PATCH, PATCH))
            means = functional.avg_pool2d(block.mean(1, keepdim=True), PATCH, 1)
            squares = functional.avg_pool2d(block.square().mean(1, keepdim=True), PATCH, 1)
            variance = (squares - means.square()) * size / (size - 1)
            response = raw / (variance + FAINT).sqrt() - offset.view(1, -1, 1, 1)
            both = torch.cat([(response - 0.25).clamp(min=0), (-response - 0.25).clamp(min=0)], 1)
            parts.append(functional.adaptive_avg_pool2d(both, 2).flatten(1))
        return torch.cat(parts).double().numpy()

    return encode


def lesson(parts: tuple[Pictures, Pictures], setting: Setting, seed: int) -> Lesson:
    """One draw of experts and of held-out rows, and of rare classes where the setting has them."""
    generator = np.random.default_rng(derive_seed(seed, "experts", setting.label))
    order = generator.permutation(CLASSES)
    ranks = np.argsort(order)  # of each class: the first expert's come first
    frequencies = setting.tail ** (ranks / (CLASSES - 1))
    train, test = (
        some(each, np.flatnonzero(generator.random(len(each.labels)) < frequencies[each.labels]))
        for each in parts
    )
    owner = np.repeat(np.arange(1, len(setting.classes) + 1), setting.classes)[ranks]

    def costs(seen: Pictures) -> Floats:
        count, experts = len(seen.labels), len(setting.classes)
        guess = generator.integers(CLASSES, size=(count, experts)) == seen.labels[:, None]
        knows = owner[seen.labels][:, None] == np.arange(1, experts + 1)
        right = np.where(knows, generator.random((count, experts)) < RIGHT, guess)
        main = seen.answers != seen.labels
        return np.column_stack([main.astype(float), ~right + PRICE])

    train_costs, test_costs = costs(train), costs(test)
    prices = np.r_[0.0, np.full(len(setting.classes), PRICE)]
    held_out = generator.permutation(len(train_costs))[: round(HELD_OUT * len(train_costs))]
    return Lesson(
        agents=names(setting),
        features=train.features,
        costs=train_costs,
        held_out=np.sort(held_out),
        test_features=test.features,
        test_costs=test_costs,
        test_prices=np.tile(prices, (len(test_costs), 1)),
        test_correct=test_costs - prices < 1 / 2,
        labels=train.labels,
        test_labels=test.labels,
    )


def names(setting: Setting) -> tuple[str, ...]:
    """The main model and the experts, with what they know."""
    experts = (f"expert {1 + at} ({count})" for at, count in enumerate(setting.classes))
    return ("main model", *experts)
