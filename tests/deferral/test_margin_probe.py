"""What unequal margins buy and cost a linear rejector: three experts, one of them mostly right.

Letters: B examples, A agents, F features (the first is 1).
"""

from functools import cache

import pytest
import torch
from minimising import minimise

from assistlearn.deferral.margin_choice import theory_margins
from assistlearn.deferral.margins import mild_log
from assistlearn.deferral.two_stage import chosen_agents, deferral_loss

PRICES = torch.tensor([0.0, 0.05, 0.1], dtype=torch.float64)
BORDERS = (1.476, 1.881)  # standard deviations: 7 % and 3 % are beyond
LEARN, MEASURE, DECAY = 300, 6000, 3e-3
SEEDS = 3
GUESSING, HELPFUL = (0.95, 0.1, 0.1), (0.85, 0.2, 0.7)
"""How often an agent is right: on its own region, agent 0 elsewhere, the others elsewhere."""


def drawn(count, skills, generator):
    """Inputs, costs, and whose region each input is in: about 90, 7 and 3 % of them."""
    features_BF = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    region_B = torch.where(features_BF[:, 1] > BORDERS[1], 2, (features_BF[:, 0] > BORDERS[0]) * 1)
    own, of_agent_0, of_others = skills
    right_BA = torch.tensor([of_agent_0, of_others, of_others]).double().repeat(count, 1)
    right_BA = right_BA.scatter(1, region_B.unsqueeze(1), own)
    wrong_BA = torch.rand(count, 3, generator=generator, dtype=torch.float64) > right_BA
    return torch.cat((torch.ones(count, 1), features_BF), dim=1), wrong_BA + PRICES, region_B


@cache
def outcome(skills, exponent, *, normalise=False):
    """Deferral loss on new examples, and recall of each region's agent: means over seeds."""
    found = []
    for seed in range(SEEDS):
        generator = torch.Generator().manual_seed(seed)
        learn_BF, costs_BA, _ = drawn(LEARN, skills, generator)
        measure_BF, new_costs_BA, region_B = drawn(MEASURE, skills, generator)
        margins = theory_margins(costs_BA, weights="max", exponent=exponent)
        weights_FA = minimise(
            lambda w, x=learn_BF, c=costs_BA, margins=margins: (
                mild_log(x @ w, c, margins=margins, weights="max", normalise=normalise).mean()
                + DECAY * w[1:].square().sum()
            ),
            torch.zeros(4, 3),
            steps=40,
        )
        scores_BA = measure_BF @ weights_FA
        right_B = (chosen_agents(scores_BA) == region_B).double()
        recalls = [right_B[region_B == agent].mean().item() for agent in range(3)]
        found.append([deferral_loss(scores_BA, new_costs_BA).mean().item(), *recalls])
    return torch.tensor(found).mean(0).tolist()


EQUAL, RULE, AGAINST = 0.0, 2 / 3, -1 / 2  # exponents of theory_margins


def test_where_all_agents_are_of_some_use_the_rule_buys_the_minoritys_recall_with_deferral_loss():
    loss, *recalls = outcome(HELPFUL, EQUAL)

    ruled_loss, *ruled_recalls = outcome(HELPFUL, RULE)

    assert ruled_loss > loss + 0.003
    assert ruled_recalls[0] < recalls[0] - 0.03
    assert ruled_recalls[1] > recalls[1] + 0.03
    assert ruled_recalls[2] > recalls[2] + 0.03


def test_margins_the_other_way_favour_the_majority_at_about_the_same_deferral_loss():
    loss, *recalls = outcome(HELPFUL, EQUAL)

    other_loss, *other_recalls = outcome(HELPFUL, AGAINST)

    assert other_loss == pytest.approx(loss, abs=0.006)
    assert other_recalls[0] > recalls[0]
    assert sum(other_recalls[1:]) < sum(recalls[1:])


@pytest.mark.parametrize("skills", [GUESSING, HELPFUL], ids=["guessing", "helpful"])
def test_normalised_the_same_margins_change_next_to_nothing(skills):
    loss, *recalls = outcome(skills, EQUAL)

    normalised_loss, *normalised_recalls = outcome(skills, RULE, normalise=True)

    assert normalised_loss == pytest.approx(loss, abs=0.003)
    assert normalised_recalls == pytest.approx(recalls, abs=0.05)


def test_where_weight_decay_hides_a_minority_that_nobody_can_replace_the_rule_lowers_the_loss():
    """So neither direction is right in advance, and margins are chosen by validation."""
    loss, *recalls = outcome(GUESSING, EQUAL)

    ruled_loss, *ruled_recalls = outcome(GUESSING, RULE)

    assert ruled_loss < loss - 0.005
    assert sum(ruled_recalls[1:]) > sum(recalls[1:]) + 0.2
