"""Four sets of questions that people answered too, for ``defer_humans``.

    CIFAR-10H    images; one vote, drawn from about fifty (Peterson et al., ICCV 2019)
    CIFAR-10N    images; one of three annotators, or the label that they were merged into
                 (Wei et al., ICLR 2022)
    hate speech  posts; one vote, drawn from three or more (Davidson et al., ICWSM 2017). The right
                 class is the majority of these same votes, which flatters the person asked
    chest X-rays no images, only readings (Majkowska et al., Radiology 2020): agent 0 is the first
                 reader, a second one or the majority of three may be asked too

Rows are divided into halves, one to train on and one to test on. No agent was fitted on a row on
which a rejector is trained: the images' model learned from other images, the posts' model answers
by cross-fitting, readers are not fitted.

Letters: B examples, A agents, F features, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from assistlearn.deferral.arrays import Bools, Floats, Ints
from assistlearn.deferral.rejectors import cross_fitted_outputs
from assistlearn.durable import disk_errors
from assistlearn.randomness import derive_seed
from experiments.deferral.humans_images import MODEL_IMAGES, Seen, kept_outputs

CLASSES: Final = 10
OVERLAP: Final = 1.0  # of halves: every seed divides the same rows anew
COMPONENTS: Final = 50  # of a post's words, for the rejector
FINDINGS: Final = ("fracture", "pneumothorax", "airspace_opacity", "nodule_mass")
TRUTHS: Final = ("fracture", "pneumothorax", "airspace_opacity", "nodule_or_mass")
READINGS: Final = {"NO": 0.0, "HEDGE": 0.5, "YES": 1.0}
READERS: Final = 3  # whose readings of an image are used


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """What everybody answered, and what is known before anybody is asked."""

    agents: tuple[str, ...]
    """The main model first."""
    answers: tuple[int, ...]
    """How many people's answers each agent takes: what a price is multiplied with. ``(A,)``."""
    features: Floats
    """The main model's confidence last. Shape ``(B, F)``."""
    errors: Floats
    """Of each agent: 0 or 1, or the number of findings that are wrong. Shape ``(B, A)``."""
    labels: Ints | None
    """Right classes, where an answer is one class. Shape ``(B,)``."""
    classes: int
    """K; 0 where an answer is several."""
    test: Bools
    """Shape ``(B,)``."""


def cifar10h(data: Path, cache: Path, seed: int, scale: float) -> Asked:
    """A network and one person, on the test images."""
    _, seen = kept_outputs(data, cache, scale=scale)
    table = _read(data / "cifar10h" / "cifar10h_test_counts.parquet")
    counts = np.stack([table[name].to_numpy() for name in table.column_names[:CLASSES]], axis=1)
    labels = table["label"].to_numpy().astype(np.int64)
    rows, generator = _some(len(labels), scale, seed)
    votes = _votes(counts[rows], generator)
    return _with_network(seen, rows, labels[rows], ("one person", votes), seed=seed, answers=(0, 1))


def cifar10n(data: Path, cache: Path, seed: int, scale: float) -> Asked:
    """A network, one annotator and the label merged from three, on images of the training set."""
    seen, _ = kept_outputs(data, cache, scale=scale)
    table = _read(data / "cifar10n" / "cifar10n_train_labels.parquet").slice(MODEL_IMAGES)
    rows, generator = _some(table.num_rows, scale, seed)
    columns = {
        name: table[name].to_numpy()[rows].astype(np.int64)
        for name in ("clean_label", "aggre_label", *(f"random_label{n}" for n in (1, 2, 3)))
    }
    three = np.stack([columns[f"random_label{n}"] for n in (1, 2, 3)], axis=1)
    one = three[np.arange(len(rows)), generator.integers(3, size=len(rows))]
    return _with_network(
        seen,
        rows,
        columns["clean_label"],
        ("one annotator", one),
        ("three annotators", columns["aggre_label"]),
        seed=seed,
        answers=(0, 1, 3),
    )


def hate_speech(data: Path, cache: Path, seed: int, scale: float) -> Asked:  # noqa: ARG001
    """Logistic regression on words, and one person."""
    table = _read(data / "l2d_hatespeech" / "hatespeech_annotator_counts.parquet")
    rows, generator = _some(table.num_rows, scale, seed)
    texts = table["text"].take(pa.array(rows)).to_pylist()
    labels = table["label"].to_numpy()[rows].astype(np.int64)
    counts = np.stack([table[f"n_{each}"].to_numpy()[rows] for each in
                       ("hate", "offensive", "neither")], axis=1)  # fmt: skip
    votes = _votes(counts, generator)
    test = _half(len(rows), generator)
    train = np.flatnonzero(~test)
    words = TfidfVectorizer(min_df=3, sublinear_tf=True)
    words.fit([texts[row] for row in train])
    matrix = words.transform(texts)
    told = np.empty((len(rows), counts.shape[1]))
    told[train] = cross_fitted_outputs(lambda: _OnRows(matrix), train, labels[train], seed=seed)
    told[test] = _OnRows(matrix).fit(train, labels[train]).predict(np.flatnonzero(test))
    parts = TruncatedSVD(COMPONENTS, random_state=seed).fit(matrix[train]).transform(matrix)
    return Asked(
        agents=("model", "one person"),
        answers=(0, 1),
        features=np.concatenate([parts, told, told.max(axis=1, keepdims=True)], axis=1),
        errors=_wrong([told.argmax(axis=1), votes], labels),
        labels=labels,
        classes=counts.shape[1],
        test=test,
    )


def chest_xrays(data: Path, cache: Path, seed: int, scale: float) -> Asked:  # noqa: ARG001
    """A first reader, a second one, and the majority of three; four findings an image.

    A hedge is half an error, and so is a majority that hedges. The first reader's confidence is
    minus the number of hedges. Halves are divided by patient.
    """
    table = _read(data / "l2d_nih_readers" / "nih_chest_xray_reader_labels.parquet")
    generator = np.random.default_rng(derive_seed(seed, "readers"))
    table = table.take(pa.array(generator.permutation(table.num_rows)))  # who is first, by lot
    images = table["image_id"].to_numpy(zero_copy_only=False).astype(str)
    order = np.argsort(images, kind="stable")
    _, starts, counts = np.unique(images[order], return_index=True, return_counts=True)
    chosen = order[starts[counts >= READERS][:, None] + np.arange(READERS)]
    chosen = chosen[: round(scale * len(chosen))]
    readings = np.stack([_readings(table[f"reader_{each}"]) for each in FINDINGS], axis=1)[chosen]
    truth = np.stack([table[f"truth_{each}"].to_numpy() for each in TRUTHS], axis=1)[chosen[:, 0]]
    majority = np.sign(readings.mean(axis=1) - 0.5) / 2 + 0.5
    told = np.stack([readings[:, 0], readings[:, 1], majority], axis=1)
    readers, number = np.unique(table["reader_id"].to_numpy(), return_inverse=True)
    first, second = (np.eye(len(readers))[number[chosen[:, each]]] for each in (0, 1))
    hedges = (readings[:, 0] == READINGS["HEDGE"]).astype(np.float64)
    patients, patient = np.unique(table["patient_id"].to_numpy()[chosen[:, 0]], return_inverse=True)
    return Asked(
        agents=("first reader", "second reader", "majority of three"),
        answers=(0, 1, 2),
        features=np.concatenate(
            [readings[:, 0], hedges, first, second, -hedges.sum(axis=1, keepdims=True)], axis=1
        ),
        errors=np.abs(told - truth[:, None]).sum(axis=2),
        labels=None,
        classes=0,
        test=_half(len(patients), generator)[patient],
    )


class _OnRows:
    """A text classifier that is given numbers of rows and answers with probabilities."""

    def __init__(self, matrix: Any) -> None:
        self._matrix = matrix
        self._model = OneVsRestClassifier(LogisticRegression(C=5.0, solver="liblinear"))

    def fit(self, X: Ints, y: Ints) -> Self:
        """Learn from these rows."""
        self._model.fit(self._matrix[X], y)
        return self

    def predict(self, X: Ints) -> Floats:
        """Probabilities of the classes. Shape ``(B, K)``."""
        found: Floats = self._model.predict_proba(self._matrix[X])
        return found


def _with_network(
    seen: Seen,
    rows: Ints,
    labels: Ints,
    *experts: tuple[str, Ints],
    seed: int,
    answers: tuple[int, ...],
) -> Asked:
    told = seen.probabilities[rows].astype(np.float64)
    features = seen.features[rows].astype(np.float64)
    own = [features, told, told.max(axis=1, keepdims=True)]
    names, given = zip(*experts, strict=True)
    generator = np.random.default_rng(derive_seed(seed, "halves"))
    return Asked(
        agents=("model", *names),
        answers=answers,
        features=np.concatenate(own, axis=1),
        errors=_wrong([told.argmax(axis=1), *given], labels),
        labels=labels,
        classes=CLASSES,
        test=_half(len(rows), generator),
    )


def _wrong(answers: Sequence[Ints], labels: Ints) -> Floats:
    wrong: Floats = (np.stack(answers, axis=1) != labels[:, None]).astype(np.float64)
    return wrong


def _votes(counts: npt.NDArray[Any], generator: np.random.Generator) -> Ints:
    """One person's answer to each question, drawn from all that were given."""
    upto = counts.cumsum(axis=1, dtype=np.int64)
    drawn = generator.integers(upto[:, -1])
    found: Ints = (drawn[:, None] >= upto).sum(axis=1)
    return found


def _some(count: int, scale: float, seed: int) -> tuple[Ints, np.random.Generator]:
    """Rows of a scaled study, always the same ones, and what draws for this seed."""
    order = np.random.default_rng(0).permutation(count)
    rows = np.sort(order[: round(scale * count)])
    return rows, np.random.default_rng(derive_seed(seed, "people"))


def _half(count: int, generator: np.random.Generator) -> Bools:
    chosen = np.zeros(count, dtype=np.bool_)
    chosen[generator.permutation(count)[: count // 2]] = True
    return chosen


def _readings(column: pa.ChunkedArray) -> Floats:
    return np.array([READINGS[each] for each in column.to_pylist()])


def _read(path: Path) -> pa.Table:
    with disk_errors(f"read {path}"):
        return pq.read_table(path)
