"""The one-stage estimator: what it minimises, what it learns, and how it answers."""

from itertools import product

import numpy as np
import pytest
import torch
from sklearn.base import clone

from assistlearn.deferral.one_stage import (
    one_stage_cross_entropy,
    one_stage_one_vs_all,
    one_stage_realizable,
)
from assistlearn.deferral.rejectors import OneStageRejector, Rejector
from assistlearn.deferral.saving import save
from assistlearn.errors import ConfigError, DataError

LOSSES = {
    "cross_entropy": one_stage_cross_entropy,
    "one_vs_all": one_stage_one_vs_all,
    "realizable": one_stage_realizable,
}
# Rows of one kind, how its classes "a", "b", "c" are shared out, and how often each of two experts
# is right on them: the first kind is easy, on the others one expert knows more than the features.
KINDS = (
    (40, (0.9, 0.1, 0.0), (0.6, 0.5)),
    (40, (0.5, 0.5, 0.0), (0.8, 0.6)),
    (20, (0.4, 0.2, 0.4), (0.3, 0.9)),
)


def finite_problem():
    """One-hot features, so that linear scores give every rule there is; costs 0 and 1."""
    generator = np.random.default_rng(0)
    kinds = np.repeat(np.arange(3), [rows for rows, _, _ in KINDS])
    labels = np.concatenate(
        [
            np.repeat(["a", "b", "c"], np.rint(rows * np.array(p)).astype(int))
            for rows, p, _ in KINDS
        ]
    )
    costs = [
        np.stack([generator.permutation(np.arange(rows) >= round(rows * p)) for p in right], axis=1)
        for rows, _, right in KINDS
    ]
    return kinds, np.eye(3)[kinds], labels, np.concatenate(costs).astype(float)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_finds_the_best_of_all_rules(loss):
    """A rule is an action (a class, or an expert) for each kind: 125 in all."""
    kinds, features, labels, costs = finite_problem()
    wrong = labels[:, None] != np.array(["a", "b", "c"])
    actions = np.concatenate([wrong, costs], axis=1)
    rows = np.arange(len(kinds))
    least = min(actions[rows, np.array(rule)[kinds]].mean() for rule in product(range(5), repeat=3))

    rejector = OneStageRejector(agents=["own", "first", "second"], loss=loss)
    rejector.fit(features, labels, costs)

    assert -rejector.score(features, labels, costs) == pytest.approx(least)
    assert rejector.predict(np.eye(3)).tolist() == ["own", "first", "second"]
    assert rejector.classify(np.eye(3))[0] == "a"


@pytest.mark.parametrize("loss", ["cross_entropy", "one_vs_all"])
def test_what_it_minimises_is_the_papers_loss(loss):
    """No linear scores near the fitted ones have less of the library's one-stage loss."""
    kinds, features, labels, costs = finite_problem()
    tight = Rejector(tol=1e-6, weight_decay=0.0)

    rejector = OneStageRejector(loss=loss, rejector=tight).fit(features, labels, costs)

    # With one-hot features the scores of each kind are free: their gradient is 0 at the optimum.
    scores_N = torch.tensor(rejector.rejector_.decision_function(np.eye(3)), requires_grad=True)
    labels_B = torch.from_numpy(np.unique(labels, return_inverse=True)[1])
    losses_B = LOSSES[loss](scores_N[torch.from_numpy(kinds)], labels_B, torch.from_numpy(costs))
    (slope,) = torch.autograd.grad(losses_B.mean(), scores_N)
    start = torch.zeros_like(scores_N, requires_grad=True)
    at_first_B = LOSSES[loss](start[torch.from_numpy(kinds)], labels_B, torch.from_numpy(costs))
    (steep,) = torch.autograd.grad(at_first_B.mean(), start)
    assert slope.abs().max() < 1e-3 * steep.abs().max()


def test_its_answers_hang_together():
    _, features, labels, costs = finite_problem()
    rejector = OneStageRejector(agents=["own", "first", "second"]).fit(features, labels, costs)

    decisions = rejector.decide(features)

    assert (decisions.names == rejector.predict(features)).all()
    assert "'own'" in decisions.explain(0)
    paid = rejector.costs(features, labels, costs)
    assert (paid[:, 0] == (rejector.classify(features) != labels)).all()
    chosen = paid[np.arange(len(paid)), decisions.agents]
    assert rejector.score(features, labels, costs) == pytest.approx(-chosen.mean())
    # Expected costs are means over a kind, as the features tell no more.
    np.testing.assert_allclose(decisions.expected_costs[0], [0.1, 0.4, 0.5], atol=0.02)
    gaps = np.square(decisions.expected_costs[:, 0] - paid[:, 0]).mean()
    assert decisions.cost_errors[0] == pytest.approx(np.sqrt(gaps))


def test_a_dear_expert_is_not_asked_and_costs_above_1_are_for_two_of_the_losses():
    _, features, labels, costs = finite_problem()
    dear = costs + np.array([2.0, 0.0])

    fast = Rejector(learning_rate=0.05)
    for loss in ("cross_entropy", "realizable"):
        rejector = OneStageRejector(loss=loss, rejector=fast).fit(features, labels, dear)
        assert set(rejector.predict(features)) == {0, 2}
    with pytest.raises(DataError, match="cost"):
        OneStageRejector(loss="one_vs_all").fit(features, labels, dear)


@pytest.mark.parametrize("labels", [[7, 3, 7, 3] * 5, [True, False] * 10, ["no", "yes"] * 10])
def test_labels_are_of_any_kind(labels):
    features = np.array([[label == labels[0]] for label in labels], dtype=float)
    costs = np.ones((20, 1))

    rejector = OneStageRejector().fit(features, labels, costs)

    assert rejector.classify(features).tolist() == labels
    assert rejector.score(features, labels, costs) == 0


def test_it_is_cloned_by_its_parameters_and_tells_its_mistakes():
    _, features, labels, costs = finite_problem()

    copied = clone(OneStageRejector(loss="realizable", rejector=Rejector(weight_decay=1.0)))

    assert (copied.loss, copied.rejector.weight_decay) == ("realizable", 1.0)
    with pytest.raises(ConfigError, match="loss 'hinge' is unknown"):
        OneStageRejector(loss="hinge").fit(features, labels, costs)
    with pytest.raises(ConfigError, match="costs of 3"):
        OneStageRejector(agents=["own", "first"]).fit(features, labels, costs)
    with pytest.raises(DataError, match="labels have shape"):
        OneStageRejector().fit(features, labels[:-1], costs)
    with pytest.raises(DataError, match="not finite in row 1"):
        OneStageRejector().fit(features, labels, costs + np.nan)


def test_it_cannot_be_saved_and_says_what_can(tmp_path):
    _, features, labels, costs = finite_problem()
    rejector = OneStageRejector().fit(features, labels, costs)

    with pytest.raises(ConfigError, match=r"OneStageRejector .* cannot be saved") as caught:
        save(rejector, tmp_path / "one.safetensors")

    assert "'Rejector'" in caught.value.hint
