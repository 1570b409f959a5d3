"""The rejector that is trained on a surrogate: an estimator in scikit-learn's sense.

    rejector = Rejector(agents=["small", "large"], prices=[0, 0.1]).fit(features, errors)
    print(rejector.decide(features).explain(0))

Letters: B examples, A agents, F features.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Final, Literal, Self
from warnings import warn

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from torch import Tensor, nn

from assistlearn.deferral.rejectors.agents import AgentNames, AgentNumbers
from assistlearn.deferral.rejectors.arrays import Floats, Layout, State
from assistlearn.deferral.rejectors.convex import (
    LinearFit,
    Objective,
    any_loss,
    fit_linear,
    log_loss,
)
from assistlearn.deferral.rejectors.interface import RejectorBase
from assistlearn.deferral.rejectors.layers import Layers
from assistlearn.deferral.rejectors.minibatches import AdamSettings, held_out_rows, train_rejector
from assistlearn.deferral.rejectors.modules import TableRejector, checked_widths
from assistlearn.deferral.rejectors.ridge import CostEstimate, cost_errors, fit_costs
from assistlearn.deferral.rejectors.scaling import Scaling
from assistlearn.deferral.rejectors.threads import one_thread_each
from assistlearn.deferral.surrogates import (
    Mao2023,
    Mao2024,
    SurrogateSettings,
    TwoStage,
    named_surrogate,
)
from assistlearn.deferral.two_stage import Surrogate
from assistlearn.deferral.weights import Kappa, cost_weights
from assistlearn.errors import ConfigError
from assistlearn.randomness import derive_seed
from assistlearn.training.devices import choose_device

MULTIPLICATIONS: Final = 1 << 24  # a layer on a batch; below, sharing costs more than it saves
SOLVERS: Final = ("auto", "lbfgs", "adam")
KINKED: Final = frozenset({"mild_hinge"})  # convex, but L-BFGS ends at the first kink


def _count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0


def _from_zero(value: Any) -> bool:
    real = isinstance(value, Real) and not isinstance(value, bool)
    return real and 0 <= float(value) < math.inf


RANGES: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "max_iter": (_count, "a whole number above 0"),
    "batch_size": (_count, "a whole number above 0"),
    "patience": (_count, "a whole number above 0"),
    "weight_decay": (_from_zero, "a number >= 0"),
    "tol": (_from_zero, "a number >= 0"),
    "learning_rate": (lambda value: _from_zero(value) and value > 0, "a number above 0"),
    "validation_fraction": (lambda value: _from_zero(value) and value < 1, "a share below 1"),
    "device": (lambda value: isinstance(value, str), 'text such as "cpu"'),
}


@dataclass(frozen=True, slots=True)
class OwnSurrogate:
    """A user's function in the place of a named surrogate."""

    surrogate: Surrogate
    name: ClassVar[str] = ""
    convex: ClassVar[bool] = False  # for all that we know
    largest_cost: ClassVar[float] = math.inf

    def prepare(self, costs_BA: Tensor) -> Surrogate:  # noqa: ARG002  # takes any costs
        """The function as it is."""
        return self.surrogate


class Rejector(RejectorBase):
    """Scores the agents from features; trained on what their answers cost.

    Features are scaled inside. Scores are linear, or a network's with ``hidden`` layers. A convex
    surrogate of linear scores is minimised by L-BFGS over all rows, which is deterministic;
    anything else by Adam over mini-batches, which holds out rows and keeps the epoch with the
    least deferral loss on them.

    Expected costs do not come from the scores: the softmax of a log-loss rejector estimates
    ``kappa - cost`` only up to a factor that changes with the input. They are a ridge regression
    of each agent's cost on what the scores are linear in (the features, or the last hidden layer),
    fitted beside; see :class:`.ridge.CostEstimate`.

    Args:
        agents: names, the main model's first; None for the columns of a data frame of costs, or
            numbers.
        prices: added to the costs, by name or in order; None if the costs have them in.
        surrogate: a name that :func:`assistlearn.deferral.surrogates.surrogate_names` knows, or a
            function of scores and costs to losses of shape ``(B,)``, which is not saved and
            counts as not convex.
        surrogate_settings: keyword arguments of the named surrogate, such as ``{"nu": 1.5}``.
        hidden: widths of hidden layers.
        weight_decay: half of it times the squared weights is added to the mean loss, for scaled
            features, >= 0.
        solver: ``"lbfgs"`` (linear scores only), ``"adam"``, or ``"auto"`` as said above.
        max_iter: most iterations of L-BFGS, or most epochs.
        tol: L-BFGS stops when the gradient has shrunk to this share of its first size.
        learning_rate: of Adam.
        batch_size: of Adam.
        validation_fraction: share of the rows that Adam holds out; 0 for none.
        patience: epochs without a better one until Adam stops.
        device: ``"cpu"``, ``"cuda"``, ... where to fit. Predictions are made by numpy.
        random_state: seed of held-out rows, initial weights and batches. L-BFGS draws nothing.

    Attributes:
        layers_: the scores' layers as arrays.
        scaling_: means and deviations of the features.
        cost_estimate_: the regression of costs.
        n_iter_: iterations of L-BFGS, or epochs.
        deferral_loss_: Adam's, on held-out rows; NaN if there were none.
    """

    def __init__(  # noqa: PLR0913  # an estimator's parameters, by keyword
        self,
        *,
        agents: AgentNames = None,
        prices: AgentNumbers = None,
        surrogate: str | Surrogate = "two_stage",
        surrogate_settings: Mapping[str, Any] | None = None,
        hidden: Sequence[int] = (),
        weight_decay: float = 1e-4,
        solver: Literal["auto", "lbfgs", "adam"] = "auto",
        max_iter: int = 500,
        tol: float = 1e-3,
        learning_rate: float = 3e-3,
        batch_size: int = 256,
        validation_fraction: float = 0.1,
        patience: int = 15,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.agents = agents
        self.prices = prices
        self.surrogate = surrogate
        self.surrogate_settings = surrogate_settings
        self.hidden = hidden
        self.weight_decay = weight_decay
        self.solver = solver
        self.max_iter = max_iter
        self.tol = tol
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from features X ``(n, F)`` and costs y ``(n, A)``, at least two rows.

        Raises:
            ConfigError: a parameter is out of range.
            DataError: the costs are not what the agents or the surrogate need.
            ValueError: scikit-learn's own, for what is no array of finite numbers.
        """
        settings, adam = self._settings()
        features, costs = self._read(X, y)
        self.scaling_, scaled = Scaling.fit(features)
        self.deferral_loss_ = float("nan")
        if costs.shape[1] == 1:  # nothing to decide
            nothing = np.zeros((scaled.shape[1], 1), dtype=scaled.dtype)
            self.layers_ = Layers(weights=(nothing,), biases=(nothing[0],))
            self.n_iter_, converged = 1, True
        elif self._solver(settings) == "lbfgs":
            converged = self._fit_linear(scaled, costs, settings)
        else:
            converged = self._fit_adam(scaled, costs, settings, adam)
        if not converged:
            warn(
                f"training stopped after {self.n_iter_} iterations, short of its optimum:"
                " raise max_iter, or weight_decay",
                ConvergenceWarning,
                stacklevel=2,
            )
        hidden = self.layers_.hidden(scaled)
        self.cost_estimate_, self.cost_errors_ = fit_costs(hidden, costs)
        if self._widths() and adam.validation_fraction:
            # The hidden layer was fitted to the training rows' costs, so only others tell.
            _, held = held_out_rows(len(costs), fraction=adam.validation_fraction, seed=adam.seed)
            self.cost_errors_ = cost_errors(self.cost_estimate_, hidden[held], costs[held])
        return self

    def _scores(self, features: Floats) -> Floats:
        return self.layers_.scores(self.scaling_(features))

    def _expected_costs(self, features: Floats) -> Floats:
        return self.cost_estimate_(self.layers_.hidden(self.scaling_(features)))

    def _layout(self) -> Layout:
        count = len(self.agents_)
        hidden = self._widths() if count > 1 else ()  # with one agent there is nothing to learn
        widths = (self.n_features_in_, *hidden, count)
        return {
            **Scaling.layout(widths[0], self.dtype_),
            **Layers.layout(widths, self.dtype_),
            **CostEstimate.layout(widths[-2], count, self.dtype_),
        }

    def _state(self) -> State:
        return {**self.scaling_.state(), **self.layers_.state(), **self.cost_estimate_.state()}

    def _restore(self, state: State) -> None:
        self.scaling_ = Scaling.restored(state)
        self.layers_ = Layers.restored(state)
        self.cost_estimate_ = CostEstimate.restored(state)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        settings, _ = self._settings()
        if len(self.agents_) > 1:
            settings.prepare(torch.zeros(1, len(self.agents_)))  # refuses settings out of range

    def _settings(self) -> tuple[SurrogateSettings, AdamSettings]:
        """What the parameters say.

        Raises:
            ConfigError: one is out of range, or of the wrong type.
        """
        for name, (fine, wanted) in RANGES.items():
            value = getattr(self, name)
            if not fine(value):
                raise ConfigError(
                    f"{name} is {value!r}, must be {wanted}",
                    hint=f"leave {name} out for the default",
                )
        settings = self._surrogate()
        self._solver(settings)
        return settings, AdamSettings(
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            epochs=self.max_iter,
            patience=self.patience,
            validation_fraction=self.validation_fraction,
            weight_decay=self.weight_decay,
            seed=_seed(self.random_state),
        )

    def _surrogate(self) -> SurrogateSettings:
        if not isinstance(self.surrogate_settings, Mapping | None):
            raise ConfigError(
                f"surrogate_settings are {self.surrogate_settings!r}, must be settings by name",
                hint='give them such as {"nu": 1.5}, or leave them out',
            )
        given = dict(self.surrogate_settings or {})
        if isinstance(self.surrogate, str):
            return named_surrogate(self.surrogate, **given)
        if given:
            raise ConfigError(
                f"surrogate_settings are {given}, but the surrogate is a function",
                hint="bind them to it with functools.partial",
            )
        if not callable(self.surrogate):
            raise ConfigError(
                f"surrogate is a {type(self.surrogate).__name__}, must be a name or a function",
                hint='set it to "two_stage"',
            )
        return OwnSurrogate(self.surrogate)

    def _widths(self) -> tuple[int, ...]:
        sizes = getattr(self, "n_features_in_", 1), len(getattr(self, "agents_", (0,)))
        return checked_widths(self.hidden, features=sizes[0], agents=sizes[1])

    def _solver(self, settings: SurrogateSettings) -> str:
        hidden = self._widths()
        if self.solver not in SOLVERS:
            raise ConfigError(f"solver {self.solver!r} is unknown", hint=f"choose one of {SOLVERS}")
        if self.solver == "lbfgs" and hidden:
            raise ConfigError(
                f"solver 'lbfgs' is for linear scores, but hidden is {self.hidden}",
                hint='set solver to "auto", or hidden to ()',
            )
        if self.solver == "auto":
            easy = settings.convex and settings.name not in KINKED and not hidden
            return "lbfgs" if easy else "adam"
        return self.solver

    def _fit_linear(self, scaled: Floats, costs: Floats, settings: SurrogateSettings) -> bool:
        features_BF, costs_BA = self._tensors(scaled, costs)
        kappa = _log_weights(settings)
        objective = (
            any_loss(features_BF, costs_BA, settings.prepare(costs_BA))
            if kappa is None
            else log_loss(features_BF, costs_BA, partial(cost_weights, kappa=kappa))
        )
        found = self._lbfgs(objective, features_BF, agents=costs.shape[1])
        self.layers_ = Layers(weights=(found.weights,), biases=(found.biases,))
        self.n_iter_ = max(found.iterations, 1)
        return found.converged

    def _fit_adam(
        self, scaled: Floats, costs: Floats, settings: SurrogateSettings, adam: AdamSettings
    ) -> bool:
        features_BF, costs_BA = self._tensors(scaled, costs)
        surrogate = settings.prepare(costs_BA)
        module, linears = self._network(features_BF, costs_BA, adam)
        work = adam.batch_size * max(each.weight.numel() for each in linears)
        with one_thread_each() if work < MULTIPLICATIONS else nullcontext():
            done = train_rejector(module, features_BF, costs_BA, surrogate, adam)
        self.layers_ = Layers.of(linears)
        self.n_iter_ = done.epochs
        self.deferral_loss_ = done.deferral_loss
        return done.converged

    def _network(
        self, features_BF: Tensor, costs_BA: Tensor, adam: AdamSettings
    ) -> tuple[TableRejector, list[nn.Linear]]:
        """A module to train, and its layers.

        A network starts with equal scores for all agents; linear scores start from the two-stage
        log loss on the rows that are not held out, as surrogates that are not convex are flat or
        wrong far from a good rule.
        """
        with torch.random.fork_rng(devices=[]):  # leaves the caller's generator as it was
            torch.manual_seed(derive_seed(adam.seed, "initial weights"))
            module = TableRejector(features_BF.shape[1], costs_BA.shape[1], hidden=self._widths())
        linears = [each for each in module.modules() if isinstance(each, nn.Linear)]
        nn.init.zeros_(linears[-1].weight)
        nn.init.zeros_(linears[-1].bias)
        if len(linears) == 1:
            fraction = adam.validation_fraction
            rows, _ = held_out_rows(len(costs_BA), fraction=fraction, seed=adam.seed)
            train_BF, train_BA = features_BF[rows], costs_BA[rows]
            objective = log_loss(train_BF, train_BA, cost_weights)
            found = self._lbfgs(objective, train_BF, agents=costs_BA.shape[1])
            with torch.no_grad():
                linears[0].weight.copy_(torch.from_numpy(found.weights.T))
                linears[0].bias.copy_(torch.from_numpy(found.biases))
        module.to(features_BF)
        return module, linears

    def _lbfgs(self, objective: Objective, features_BF: Tensor, *, agents: int) -> LinearFit:
        return fit_linear(
            objective,
            features_BF,
            agents=agents,
            weight_decay=self.weight_decay,
            max_iterations=self.max_iter,
            tolerance=self.tol,
        )

    def _tensors(self, *arrays: Floats) -> tuple[Tensor, ...]:
        device = choose_device(self.device)
        # A tensor shares its array's memory, and torch will not have it read-only.
        writable = (np.require(array, requirements=["C", "W"]) for array in arrays)
        return tuple(torch.from_numpy(array).to(device) for array in writable)


def _log_weights(settings: SurrogateSettings) -> Kappa | None:
    """The weights of a surrogate ``sum_j w_j (-log softmax_j)``; None for any other."""
    match settings:
        case TwoStage(nu=1, weights=weights):
            return weights
        case Mao2023(nu=1):
            return "one"
        case Mao2024(nu=1):
            return "sum"
        case _:
            return None


def _seed(random_state: int | np.random.RandomState | None) -> int:
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    try:
        return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    except ValueError as error:
        raise ConfigError(
            f"random_state is {random_state!r}, must be a seed",
            hint="set it to a whole number, or to None for another one each time",
        ) from error
