"""What the studies of deferral share: rejectors tuned alike, trials kept on disk, tables.

A *candidate* is a rejector with settings to choose from. Each is fitted on the training rows but
those held out, scored there by deferral loss, and fitted again on all of them with the best
settings. So no method is compared at settings that were chosen for another.

Letters: B examples, A agents, F features.
"""

import json
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from assistlearn.deferral.arrays import Bools, Floats, Ints
from assistlearn.deferral.margin_choice import EXPONENTS, THEORY_EXPONENT
from assistlearn.deferral.rejectors import FixedAgent, PlugInRejector, RandomRejector, Rejector
from assistlearn.deferral.rejectors.interface import RejectorBase
from assistlearn.deferral.report import (
    Routing,
    Spread,
    Trial,
    trial,
)
from assistlearn.durable import disk_errors

EQUAL: Final = "equal margins"
"""The reconstruction of MILD with e = 0: the plain two-stage surrogate, by the same solver."""

MILD: Final = "MILD, validated"
GAP: Final = "gap weights"
HINGE: Final = "MILD hinge, validated"
RAMP: Final = "MILD ramp, validated"
PAIRS: Final[Mapping[str, str]] = {
    MILD: EQUAL,
    "MILD, theory rule": EQUAL,
    "MILD, normalised": EQUAL,
    "MILD, gap weights": GAP,
    HINGE: "hinge, equal margins",
    RAMP: "ramp, equal margins",
}
"""The variants of the reconstruction, and what each is with equal margins."""

RANDOM: Final = "random, same shares"
BEST_AGENT: Final = "best agent"
DECAYS: Final = (0.03, 1.0, 30.0)
ITERATIONS: Final = 100
FEW_EXPONENTS: Final = (0.0, -1 / 2, 1 / 3, THEORY_EXPONENT)
"""Of hinge and ramp, whose fits take longer."""

EPOCHS: Final = 40  # of hinge and ramp, at most


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """What one seed learns from, and what it is measured on."""

    agents: tuple[str, ...]
    features: Floats
    """Of the training rows. ``(B, F)``."""
    costs: Floats
    """Of the training rows, prices included. ``(B, A)``."""
    held_out: Ints
    """Training rows that choose settings."""
    test_features: Floats
    test_costs: Floats
    test_prices: Floats
    """What of the test rows' costs is paid for asking. ``(B, A)``."""
    test_correct: Bools | None = None
    labels: Ints | None = None
    """Right classes of the training rows, where there are any: for one-stage methods. ``(B,)``."""
    test_labels: Ints | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A rejector, and what is chosen on held-out rows."""

    rejector: RejectorBase
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Parameters to try, as scikit-learn's grid search has them; the first of equals wins."""
    first: int = 0
    """First feature that it sees."""


def candidates(*, decays: Sequence[float] = DECAYS) -> dict[str, Candidate]:
    """Linear rejectors on every surrogate that the studies compare, and the plug-in.

    All by L-BFGS from zero, also where the surrogate is not convex (then a local minimum).
    ``two_stage`` is the surrogate of arXiv:2410.15729 and, on the same costs, that of
    arXiv:2403.19494 (``mao_2024``): one function, so one row.
    """

    def linear(surrogate: str, *settings: Mapping[str, Any]) -> Candidate:
        return Candidate(
            rejector=Rejector(surrogate=surrogate, solver="lbfgs", max_iter=ITERATIONS),
            grid={"surrogate_settings": settings or ({},), "weight_decay": decays},
        )

    by_rule = [{"exponent": each} for each in EXPONENTS]
    theory = {"exponent": THEORY_EXPONENT}
    return {
        EQUAL: linear("mild_log", {"exponent": 0.0}),
        MILD: linear("mild_log", *by_rule),
        "MILD, theory rule": linear("mild_log", theory),
        "MILD, normalised": linear("mild_log", theory | {"normalise": True}),
        "MILD, gap weights": linear("mild_log", *(each | {"weights": "max"} for each in by_rule)),
        "two_stage = mao_2024": linear("two_stage"),
        GAP: linear("mild_log", {"exponent": 0.0, "weights": "max"}),
        "mao_2023": linear("mao_2023"),
        **{
            name: linear(name)
            for name in ("one_vs_all", "log_mass", "layered_mass", "class_balanced", "focal",
                         "ldam", "logit_adjusted")
        },
        "plug-in": Candidate(rejector=PlugInRejector()),
    }  # fmt: skip


def kinked_candidates(*, decays: Sequence[float] = DECAYS) -> dict[str, Candidate]:
    """The reconstruction's hinge and ramp, whose kinks stop L-BFGS: by Adam, as the library does.

    They start from the plain two-stage log loss, and the epoch with the least deferral loss on a
    tenth of the rows is kept, which may be the start. Without that early stop a hinge of more than
    two agents drifts to equal scores wherever no agent has half of the weight; these rows show it.
    """

    def linear(loss: str, *exponents: float, held_out: float = 0.1) -> Candidate:
        return Candidate(
            rejector=Rejector(
                surrogate=f"mild_{loss}", solver="adam", max_iter=EPOCHS,
                validation_fraction=held_out,
            ),
            grid={
                "surrogate_settings": [{"exponent": each} for each in exponents],
                "weight_decay": decays,
            },
        )  # fmt: skip

    return {
        HINGE: linear("hinge", *FEW_EXPONENTS),
        RAMP: linear("ramp", *FEW_EXPONENTS),
        PAIRS[HINGE]: linear("hinge", 0.0),
        PAIRS[RAMP]: linear("ramp", 0.0),
        "hinge, no early stop": linear("hinge", 0.0, held_out=0.0),
        "ramp, no early stop": linear("ramp", 0.0, held_out=0.0),
    }


def fitted(candidate: Candidate, lesson: Lesson) -> tuple[RejectorBase, dict[str, Any]]:
    """The candidate at its best settings, fitted on all training rows, and these settings."""
    features, costs = lesson.features[:, candidate.first :], lesson.costs
    # One unit for all: the dearest answer costs 1, as weights 1 - cost need it.
    costs = costs / costs.max()
    rest = np.setdiff1d(np.arange(len(costs)), lesson.held_out)
    search = GridSearchCV(
        candidate.rejector, dict(candidate.grid), cv=[(rest, lesson.held_out)], error_score="raise"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ITERATIONS are as good for all
        search.fit(features, costs)
    best: RejectorBase = search.best_estimator_
    return best, dict(search.best_params_)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decided:
    """What came of one seed."""

    trial: Trial
    settings: Mapping[str, Any]
    """What validation chose, by candidate."""


def decided(
    lesson: Lesson, unfitted: Mapping[str, Candidate], *, seed: int, random_as: str | None
) -> Decided:
    """Fit all candidates and let them decide the test rows, beside the best agent and chance.

    Args:
        lesson: training and test rows.
        unfitted: the candidates, by name.
        seed: which run this is; also of the draws.
        random_as: the candidate whose shares are dealt out at random for comparison; None for
            neither that nor the best agent.
    """
    made: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for name, candidate in unfitted.items():
        rejector, settings[name] = fitted(candidate, lesson)
        made[name] = rejector.decide(lesson.test_features[:, candidate.first :])
    baselines: dict[str, RejectorBase] = {}
    if random_as is not None:
        shares = made[random_as].shares.tolist()
        baselines[BEST_AGENT] = FixedAgent()
        baselines[RANDOM] = RandomRejector(shares=shares, random_state=seed)
    for name, rejector in baselines.items():
        rejector.fit(lesson.features, lesson.costs)
        # Constants and lotteries have scores that rank nothing, and so no curve.
        made[name] = rejector.decide(lesson.test_features).agents
    measured = trial(
        lesson.test_costs,
        made,
        prices=lesson.test_prices,
        correct_BA=lesson.test_correct,
        seed=seed,
    )
    return Decided(trial=measured, settings=settings)


def joined(first: Decided, *others: Decided) -> Decided:
    """Methods that were measured apart, on the same test rows of the same seed, as one trial."""
    for each in others:
        assert np.array_equal(each.trial.costs, first.trial.costs)  # the same rows and agents
    every = (first, *others)
    return Decided(
        trial=replace(
            first.trial,
            methods={name: each for one in every for name, each in one.trial.methods.items()},
        ),
        settings={name: each for one in every for name, each in one.settings.items()},
    )


def kept(folder: Path, name: str, make: Callable[[], Decided]) -> Decided:
    """The trial called ``name`` in ``folder``, made and written if it is not there yet.

    Names say what the trial depends on; after a change of the code, remove the folder.
    """
    path = folder / f"{name}.npz"
    if not path.exists():
        new = make()
        optional: dict[str, Any] = {"correct": new.trial.correct}
        for number, routing in enumerate(new.trial.methods.values()):
            optional[f"scores.{number}"] = routing.scores
        with disk_errors(f"write {path}"):
            folder.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part")
            with unfinished.open("wb") as stream:
                np.savez(
                    stream,
                    names=np.array([*new.trial.methods]),
                    agents=np.stack([each.agents for each in new.trial.methods.values()]),
                    costs=new.trial.costs,
                    prices=new.trial.prices,
                    seed=np.array(new.trial.seed),
                    settings=np.array(json.dumps(new.settings)),
                    **{key: each for key, each in optional.items() if each is not None},
                )
            unfinished.rename(path)
    with disk_errors(f"read {path}"), np.load(path) as found:
        methods = {
            str(each): Routing(agents=agents, scores=found.get(f"scores.{number}"))
            for number, (each, agents) in enumerate(
                zip(found["names"], found["agents"], strict=True)
            )
        }
        measured = trial(
            found["costs"],
            methods,
            prices=found["prices"],
            correct_BA=found.get("correct"),
            seed=int(found["seed"]),
        )
        return Decided(trial=measured, settings=json.loads(str(found["settings"])))


def rounded(value: Spread) -> dict[str, Any]:
    """A spread for JSON."""
    return {key: round(each, 5) for key, each in asdict(value).items()}


def one_thread() -> None:
    """One thread for torch and for numpy's BLAS: on a busy machine two wait for each other."""
    torch.set_num_threads(1)
    threadpool_limits(1)


DATA: Final = "ASSISTLEARN_DATA"
data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    envvar=DATA,
    required=True,
    help=f"Folder that holds the data sets' folders; or set {DATA}.",
)
cache_option = click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(tempfile.gettempdir()) / "assistlearn_studies",
    help="Folder in which finished parts are kept.",
)
