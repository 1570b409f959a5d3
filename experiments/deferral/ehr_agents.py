"""Who can answer in ``defer_ehr``, and what they answer about every patient.

Models answer about training patients from cross-fitting, so that a rejector never learns from an
answer about a patient whom the model was fitted on; about test patients, from a fit on all training
patients. Two tasks in each case: a probability of death, which is a class at 1/2, and a value.

Letters: B patients, A agents, F features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge

from assistlearn.deferral.arrays import Bools, Floats, Ints
from assistlearn.deferral.costs import RegressionError, classification_costs, regression_costs
from assistlearn.deferral.rejectors import cross_fitted_outputs
from assistlearn.durable import disk_errors
from assistlearn.randomness import derive_seed
from experiments.deferral.ehr_data import BEDSIDE, HISTORY, LABORATORY, Patients, scaled

HALF: Final = 0.5
TEST: Final = 0.2  # share of the patients, as in the paper
OVERLAP: Final = TEST / (1 - TEST)  # every seed divides the same patients anew
CLUSTERS: Final = 6
"""As in the paper's released code; the largest cluster is number 1."""
EXPERTISE: Final = {"class": ((1, 2, 4), (1, 5, 6)), "value": ((1, 3, 5), (1, 4, 6))}
"""Clusters that each simulated expert knows, by task. Two facts are the paper's: cluster 1 is
common to all, and lists differ by task. The lists themselves are a reconstruction."""

BOOSTING: Final = {"max_iter": 80, "learning_rate": 0.06, "max_leaf_nodes": 15}
FOREST: Final = {"n_estimators": 60, "min_samples_leaf": 5, "max_features": 0.3}
Pair = tuple[Callable[[], Any], Callable[[], Any]]
LINEAR: Final[Pair] = (lambda: LogisticRegression(C=0.1), lambda: Ridge(alpha=10.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """One case on one division of the patients: plain arrays, to be kept on disk."""

    features: Floats
    """What the rejector sees, the main model's own answers last (:data:`OWN`). ``(B, F)``."""
    probabilities: Floats
    """Of death, by each agent. ``(B, A)``."""
    values: Floats
    """Each agent's answer to the second task. ``(B, A)``."""
    reference: Floats
    """Probability and value of somebody who is no agent, for comparison. ``(B, 2)``."""
    died: Ints
    """Truth of the first task. ``(B,)``."""
    truth: Floats
    """Truth of the second. ``(B,)``."""
    test: Bools
    """Whether a patient is kept for the test. ``(B,)``."""

    def errors(self, error: RegressionError) -> tuple[Floats, Floats]:
        """Errors in both tasks. Shapes ``(B, A)``."""
        return self._errors(self.probabilities, self.values, error)

    def reference_errors(self, error: RegressionError) -> tuple[Floats, Floats]:
        """The reference's. Shapes ``(B,)``."""
        # Costs are of two agents at least, so it is there twice.
        told, values = (np.repeat(each[:, None], 2, axis=1) for each in self.reference.T)
        wrong, off = self._errors(told, values, error)
        return wrong[:, 0], off[:, 0]

    def _errors(
        self, told: Floats, values: Floats, error: RegressionError
    ) -> tuple[Floats, Floats]:
        named, died = torch.from_numpy(told > HALF), torch.from_numpy(self.died == 1)
        off = regression_costs(torch.from_numpy(values), torch.from_numpy(self.truth), error)
        return classification_costs(named, died).double().numpy(), off.numpy()


OWN: Final = 3
"""Features that the main model adds: its probability, how far that is from 1/2, its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Tasks and agents."""

    agents: tuple[str, ...]
    answers: Callable[[Patients, int], Answers]
    """From the patients and a seed."""
    error: RegressionError
    value: str
    """What the error of the second task is."""
    reference: str
    """Who is no agent and stands beside them."""


class _Probability(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A classifier whose prediction is the probability of the second class."""

    def __init__(self, classifier: Any) -> None:
        self.classifier = classifier

    def fit(self, X: Any, y: Any) -> Self:
        """Learn."""
        self.classifier.fit(X, y)
        return self

    def predict(self, X: Any) -> Any:
        """Probability of class 1."""
        return self.classifier.predict_proba(X)[:, 1]


def boosting(seed: int) -> Pair:
    """Gradient boosting, a classifier and a regressor."""
    settings: dict[str, Any] = {**BOOSTING, "random_state": seed}
    return (
        lambda: HistGradientBoostingClassifier(**settings),
        lambda: HistGradientBoostingRegressor(**settings),
    )


def forest(seed: int) -> Pair:
    """Random forests."""
    settings: dict[str, Any] = {**FOREST, "random_state": seed}
    return lambda: RandomForestClassifier(**settings), lambda: RandomForestRegressor(**settings)


def clusters(patients: Patients, seed: int, *, hidden: tuple[str, ...] = ()) -> Answers:
    """A model and two simulated experts, each perfect on its own clusters and wrong elsewhere.

    A wrong class is the other one, a wrong length of stay is drawn evenly from the range of its
    logarithm.

    Args:
        patients: the table.
        seed: of the division, the clusters and the draws.
        hidden: columns of which the clusters are made, and which the rejector does not see; none
            for clusters of all columns, all seen.
    """
    ward = _Ward.divided(patients.features, seed)
    space = ward.inputs[:, patients.columns(hidden)] if hidden else ward.inputs
    means = KMeans(CLUSTERS, n_init=4, random_state=seed).fit(space[~ward.test])
    by_size = np.argsort(-np.bincount(means.labels_, minlength=CLUSTERS), kind="stable")
    number_B = np.argsort(by_size)[means.predict(space)] + 1
    probability, value = ward.stay(boosting(seed), patients)
    generator = np.random.default_rng(derive_seed(seed, "wrong stays"))
    told, values = [probability], [value]
    for known, measured in zip(EXPERTISE["class"], EXPERTISE["value"], strict=True):
        right_B = np.isin(number_B, known)
        told.append(np.where(right_B, patients.died, 1 - patients.died))
        lowest, highest = patients.log_days.min(), patients.log_days.max()
        drawn_B = generator.uniform(lowest, highest, len(number_B))
        values.append(np.where(np.isin(number_B, measured), patients.log_days, drawn_B))
    seen = np.setdiff1d(np.arange(ward.inputs.shape[1]), patients.columns(hidden))
    made = Answers(
        features=np.concatenate([ward.inputs[:, seen], _own(probability, value)], axis=1),
        probabilities=np.stack(told, axis=1).astype(np.float64),
        values=np.stack(values, axis=1),
        reference=np.zeros((len(number_B), 2)),
        died=patients.died,
        truth=patients.log_days,
        test=ward.test,
    )
    return replace(made, reference=_told_the_clusters(made, number_B))


def _told_the_clusters(answers: Answers, number_B: Ints) -> Floats:
    """Answers of the agent that is cheapest on each cluster, by the training patients. ``(B, 2)``.

    A rejector that sees which cluster a patient belongs to, and nothing else, can do no better.
    """
    wrong, off = answers.errors("smooth_l1")
    cheapest = [
        int((wrong + off)[(number_B == cluster) & ~answers.test].mean(axis=0).argmin())
        for cluster in range(1, CLUSTERS + 1)
    ]
    chosen = np.array(cheapest)[number_B - 1]
    rows = np.arange(len(chosen))
    return np.stack([answers.probabilities[rows, chosen], answers.values[rows, chosen]], axis=1)


def specialists(patients: Patients, seed: int) -> Answers:
    """Three models that learned from different measurements of the same patients."""
    ward = _Ward.divided(patients.features, seed)
    told, values = zip(
        ward.stay(LINEAR, patients, patients.columns(HISTORY)),
        ward.stay(forest(seed), patients, patients.columns(BEDSIDE)),
        ward.stay(boosting(seed), patients, patients.columns(LABORATORY)),
        strict=True,
    )
    return Answers(
        features=np.concatenate([ward.inputs, _own(told[0], values[0])], axis=1),
        probabilities=np.stack(told, axis=1),
        values=np.stack(values, axis=1),
        reference=np.stack(ward.stay(boosting(seed), patients), axis=1),
        died=patients.died,
        truth=patients.log_days,
        test=ward.test,
    )


def physicians(patients: Patients, seed: int) -> Answers:
    """A model, the SUPPORT model and the physician, on the patients about whom both were asked."""
    estimates = np.stack([patients.model_estimates, patients.physician_estimates], axis=1)
    asked = ~np.isnan(estimates).any(axis=(1, 2))
    ward = _Ward.divided(patients.features[asked], seed)
    soon, later = patients.died_within[asked].T
    told, values = (
        np.stack(
            [
                ward.answers(lambda: _Probability(boosting(seed)[0]()), truth),
                *estimates[asked, :, task].T,
            ],
            axis=1,
        )
        for task, truth in enumerate((soon, later))
    )
    return Answers(
        features=np.concatenate([ward.inputs, _own(told[:, 0], values[:, 0])], axis=1),
        probabilities=told,
        values=values,
        reference=np.stack([each[:, [0, 2]].mean(axis=1) for each in (told, values)], axis=1),
        died=soon,
        truth=later.astype(np.float64),
        test=ward.test,
    )


CASES: Final[Mapping[str, Case]] = {
    "clusters, all seen": Case(
        agents=("model", "expert 1", "expert 2"),
        answers=clusters,
        error="smooth_l1",
        value="smooth L1",
        reference="told the clusters",
    ),
    "clusters, not seen": Case(
        agents=("model", "expert 1", "expert 2"),
        answers=partial(clusters, hidden=(*BEDSIDE, *LABORATORY)),
        error="smooth_l1",
        value="smooth L1",
        reference="told the clusters",
    ),
    "learned experts": Case(
        agents=("history", "bedside", "laboratory"),
        answers=specialists,
        error="smooth_l1",
        value="smooth L1",
        reference="one model of all features",
    ),
    "physicians": Case(
        agents=("model", "SUPPORT", "physician"),
        answers=physicians,
        error="squared",
        value="Brier, 180 days",
        reference="mean of model and physician",
    ),
}


def kept_answers(path: Path, make: Callable[[], Answers]) -> Answers:
    """The answers in this file, made and written if they are not there yet.

    Raises:
        StorageError: the file cannot be read or written.
    """
    if not path.exists():
        made = make()
        arrays = {each.name: getattr(made, each.name) for each in fields(made)}
        with disk_errors(f"write {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part")
            with unfinished.open("wb") as stream:
                np.savez(stream, **arrays)
            unfinished.rename(path)
    with disk_errors(f"read {path}"), np.load(path) as found:
        return Answers(**found)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ward:
    """Patients divided into those to learn from and those to be measured on."""

    inputs: Floats
    test: Bools
    seed: int

    @classmethod
    def divided(cls, features: Floats, seed: int) -> Self:
        """At random; features are scaled by the training patients."""
        generator = np.random.default_rng(derive_seed(seed, "test patients"))
        order = generator.permutation(len(features))
        test = np.isin(np.arange(len(features)), order[: round(TEST * len(features))])
        return cls(inputs=scaled(features, ~test), test=test, seed=seed)

    def answers(self, make: Callable[[], Any], truth: Any, columns: Any = slice(None)) -> Floats:
        """About every patient, from models that were not fitted on them. Shape ``(B,)``."""
        inputs, train = self.inputs[:, columns], ~self.test
        found = np.empty(len(inputs))
        found[train] = cross_fitted_outputs(make, inputs[train], truth[train], seed=self.seed)
        found[self.test] = make().fit(inputs[train], truth[train]).predict(inputs[self.test])
        return found

    def stay(
        self, pair: Pair, patients: Patients, columns: Any = slice(None)
    ) -> tuple[Floats, ...]:
        """Probability of death in hospital, and logarithm of the days there."""
        classifier, regressor = pair
        return (
            self.answers(lambda: _Probability(classifier()), patients.died, columns),
            self.answers(regressor, patients.log_days, columns),
        )


def _own(probability: Floats, value: Floats) -> Floats:
    """What the main model tells the rejector; see :data:`OWN`."""
    return np.stack([probability, np.abs(probability - HALF), value], axis=1)
