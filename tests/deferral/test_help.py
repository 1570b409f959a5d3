"""Learning to help: the generalised 0-1 loss and its Bayes rule, by brute force."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistlearn.deferral.bayes import bayes_agents
from assistlearn.deferral.help import LOCAL, REMOTE, HelpCosts, bayes_rule, fixed_server_rule
from assistlearn.deferral.two_stage import chosen_agents, deferral_loss
from assistlearn.errors import ConfigError, DataError

patient = settings(max_examples=60, deadline=None)  # the first torch call may be slow
SEEDS = st.integers(0, 2**31)
COSTS = st.builds(HelpCosts, query_cost=st.floats(0, 1.5), server_error_cost=st.floats(0, 1.5))


def problem(seed, *, inputs=3, classes=3):
    """Posteriors (X, K), a client's classes (X,), a server's classes (X,)."""
    generator = torch.Generator().manual_seed(seed)
    posterior_XK = torch.randn(inputs, classes, generator=generator, dtype=torch.float64).softmax(1)
    client_X = torch.randint(classes, (inputs,), generator=generator)
    server_X = torch.randint(classes, (inputs,), generator=generator)
    return posterior_XK, client_X, server_X


def of(posterior_XK, labels_X):
    return posterior_XK.gather(1, labels_X.unsqueeze(1)).squeeze(1)


def expected_loss(posterior_XK, client_X, server_X, agents_X, costs):
    """The generalised 0-1 loss as the paper writes it, summed over inputs and classes."""
    total = 0.0
    for x, posteriors in enumerate(posterior_XK.tolist()):
        for target, chance in enumerate(posteriors):
            if agents_X[x] == LOCAL:
                total += chance * (client_X[x] != target)
            elif server_X[x] == target:
                total += chance * costs.query_cost
            else:
                total += chance * (costs.query_cost + costs.server_error_cost)
    return total


@pytest.mark.parametrize(
    ("client_right", "server_right", "agent", "expected"),
    [
        (True, True, LOCAL, 0.0),
        (False, True, LOCAL, 1.0),
        (True, True, REMOTE, 0.25),
        (True, False, REMOTE, 1.5),
        (False, False, LOCAL, 1.0),
        (False, False, REMOTE, 1.5),
    ],
)
def test_the_generalised_0_1_loss_has_four_cases(client_right, server_right, agent, expected):
    costs_B2 = HelpCosts(query_cost=0.25, server_error_cost=1.25).agent_costs(
        torch.tensor([client_right]), torch.tensor([server_right])
    )
    scores_B2 = torch.nn.functional.one_hot(torch.tensor([agent]), 2).float()

    assert deferral_loss(scores_B2, costs_B2).tolist() == [expected]


@patient
@given(SEEDS, COSTS)
def test_no_server_and_rejector_have_less_risk_than_the_bayes_pair(seed, costs):
    """Theorem of arXiv:2501.13810, all servers and rejectors enumerated input by input."""
    posterior_XK, client_X, _ = problem(seed)
    least = 0.0
    for x in range(3):  # the risk is a sum over inputs, so each may be minimised alone
        row = slice(x, x + 1)
        least += min(
            expected_loss(
                posterior_XK[row],
                client_X[row].tolist(),
                [server],
                [agent],
                costs,
            )
            for server, agent in itertools.product(range(3), (LOCAL, REMOTE))
        )

    server_X, agents_X = bayes_rule(posterior_XK, client_X, costs)

    found = expected_loss(
        posterior_XK, client_X.tolist(), server_X.tolist(), agents_X.tolist(), costs
    )
    assert found == pytest.approx(least, abs=1e-12)


@patient
@given(SEEDS, COSTS)
def test_no_rejector_has_less_risk_beside_a_given_server_than_the_fixed_server_rule(seed, costs):
    posterior_XK, client_X, server_X = problem(seed)
    least = min(
        expected_loss(posterior_XK, client_X.tolist(), server_X.tolist(), agents, costs)
        for agents in itertools.product((LOCAL, REMOTE), repeat=3)
    )

    agents_X = fixed_server_rule(of(posterior_XK, client_X), of(posterior_XK, server_X), costs)

    found = expected_loss(
        posterior_XK, client_X.tolist(), server_X.tolist(), agents_X.tolist(), costs
    )
    assert found == pytest.approx(least, abs=1e-12)


@patient
@given(SEEDS, COSTS)
def test_the_fixed_server_rule_is_the_bayes_rejector_of_the_expected_agent_costs(seed, costs):
    """Learning to help is deferral with one expert."""
    posterior_XK, client_X, server_X = problem(seed, inputs=20)
    client_posterior_X, server_posterior_X = of(posterior_XK, client_X), of(posterior_XK, server_X)
    remote_X = costs.query_cost + costs.server_error_cost * (1 - server_posterior_X)
    mean_costs_X2 = torch.stack([1 - client_posterior_X, remote_X], dim=1)

    agents_X = fixed_server_rule(client_posterior_X, server_posterior_X, costs)

    tied_X = (mean_costs_X2[:, LOCAL] - mean_costs_X2[:, REMOTE]).abs() < 1e-12
    assert (tied_X | (agents_X == bayes_agents(mean_costs_X2))).all()


def test_ties_are_remote_in_the_theorem_and_local_in_a_rejectors_scores():
    costs = HelpCosts(query_cost=0.25, server_error_cost=0.0)

    agents_X = fixed_server_rule(torch.tensor([0.75, 0.8]), torch.tensor([0.9, 0.9]), costs)

    assert agents_X.tolist() == [REMOTE, LOCAL]
    assert chosen_agents(torch.zeros(1, 2)).tolist() == [LOCAL]


@patient
@given(SEEDS, st.floats(0, 1))
def test_with_free_server_errors_every_server_is_as_good(seed, query_cost):
    """The formula of the Bayes server needs c_1 > 0: without it e is not identified."""
    posterior_XK, client_X, server_X = problem(seed)
    costs = HelpCosts(query_cost=query_cost, server_error_cost=0.0)
    best_X, agents_X = bayes_rule(posterior_XK, client_X, costs)

    risks = [
        expected_loss(posterior_XK, client_X.tolist(), server.tolist(), agents_X.tolist(), costs)
        for server in (best_X, server_X)
    ]

    assert risks[0] == pytest.approx(risks[1])


@patient
@given(SEEDS, st.floats(1, 3), st.floats(0, 2))
def test_a_question_as_dear_as_an_error_is_never_asked(seed, query_cost, server_error_cost):
    posterior_XK, client_X, _ = problem(seed)
    costs = HelpCosts(query_cost=query_cost, server_error_cost=server_error_cost)

    _, agents_X = bayes_rule(posterior_XK, client_X, costs)

    assert agents_X.tolist() == [LOCAL] * 3


@patient
@given(SEEDS)
def test_a_free_question_is_asked_wherever_the_servers_class_is_no_less_probable(seed):
    posterior_XK, client_X, server_X = problem(seed, inputs=20)
    costs = HelpCosts(query_cost=0.0, server_error_cost=1.0)
    client_posterior_X, server_posterior_X = of(posterior_XK, client_X), of(posterior_XK, server_X)

    agents_X = fixed_server_rule(client_posterior_X, server_posterior_X, costs)

    differ_X = client_X != server_X
    expected_X = torch.where(client_posterior_X > server_posterior_X, LOCAL, REMOTE)
    assert torch.equal(agents_X[differ_X], expected_X[differ_X])


@patient
@given(SEEDS, COSTS, st.floats(0, 1), st.floats(0, 1))
def test_the_remote_region_only_shrinks_as_either_cost_grows(seed, costs, more_e, more_1):
    posterior_XK, client_X, server_X = problem(seed, inputs=30)
    posteriors = of(posterior_XK, client_X), of(posterior_XK, server_X)
    dearer = HelpCosts(
        query_cost=costs.query_cost + more_e, server_error_cost=costs.server_error_cost + more_1
    )

    before_X, after_X = (fixed_server_rule(*posteriors, each) for each in (costs, dearer))

    assert (after_X <= before_X).all()


@pytest.mark.parametrize("name", ["query_cost", "server_error_cost"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_costs_that_are_none_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} is {value}"):
        HelpCosts(**{"query_cost": 0.1, "server_error_cost": 1.0, name: value})


@pytest.mark.parametrize(
    ("client", "server"),
    [
        (torch.tensor([1, 0]), torch.tensor([True, False])),
        (torch.tensor([True]), torch.tensor([True, False])),
        (torch.tensor([[True]]), torch.tensor([[True]])),
    ],
)
def test_answers_that_are_not_one_boolean_each_are_refused(client, server):
    with pytest.raises(DataError, match="one boolean each"):
        HelpCosts(query_cost=0.1, server_error_cost=1.0).agent_costs(client, server)
