"""What published tables and released code say of themselves, worked out again.

Letters: E agents of the simulated health records (a model and two experts), C their clusters.
"""

import itertools

import numpy as np
import pytest
import torch

from assistlearn.deferral.bayes import bayes_agents
from assistlearn.deferral.costs import agent_costs, regression_costs

KNOWN_CLASSES = ((1, 2, 4), (1, 5, 6))
KNOWN_VALUES = ((1, 3, 5), (1, 4, 6))
CLUSTERS = range(1, 7)


@pytest.mark.parametrize("known", KNOWN_CLASSES)
def test_a_third_argument_of_logical_or_is_where_the_result_goes_and_its_cluster_is_lost(known):
    """The released code of arXiv:2410.15729: each expert knows two clusters instead of three."""
    clusters = np.arange(1, 7)

    meant = np.isin(clusters, known)
    released = np.logical_or(*(clusters == each for each in known))

    assert released.tolist() == np.isin(clusters, known[:2]).tolist()
    assert meant.sum() == 3
    assert released.sum() == 2


def simulated(replaced, lambdas):
    """Accuracy, mean error of the value, and shares kept, of the best rejector that sees a cluster.

    Six equal clusters, of which a share of numbers is replaced at random. The model is right in
    60 % of cases and 1.25 off in the mean. Values are 0 to 9; an expert that does not know draws
    one. All errors and costs are the library's; expectations are exact.
    """
    values = torch.arange(10.0, dtype=torch.float64)
    apart_BA = regression_costs(values.repeat(10, 1), values, clamp=5.0)
    wrong_CE, off_CE = (
        torch.tensor(
            [
                [of_model, *(0.0 if cluster in each else unknown for each in known)]
                for cluster in CLUSTERS
            ]
        ).double()
        for of_model, unknown, known in (
            (0.4, 1.0, KNOWN_CLASSES),
            (1.25, apart_BA.mean().item(), KNOWN_VALUES),
        )
    )
    truth_CC = (1 - replaced) * torch.eye(6).double() + replaced / 6  # given the number seen
    wrong_CE, off_CE = truth_CC @ wrong_CE, truth_CC @ off_CE

    agents_C = bayes_agents(agent_costs([wrong_CE, off_CE], lambdas_T=lambdas))

    picked = torch.arange(6), agents_C
    kept = (agents_C == 0).double().mean().item()
    return 1 - wrong_CE[picked].mean().item(), off_CE[picked].mean().item(), kept


CLASS_ONLY, VALUE_ONLY, JOINT = (1.0, 0.0), (0.0, 0.2), (1.0, 0.2)


@pytest.mark.parametrize(
    ("replaced", "lambdas", "accuracy", "error"),
    [
        (0.0, CLASS_ONLY, 0.933, 1.48),
        (0.0, VALUE_ONLY, 0.433, 0.21),
        (0.7, CLASS_ONLY, 0.643, 1.33),
        (0.7, VALUE_ONLY, 0.492, 0.95),
        (0.7, JOINT, 0.619, 1.14),
    ],
)
def test_simulated_experts_give_the_health_records_figures_that_a_simulation_gave(
    replaced, lambdas, accuracy, error
):
    """200,000 simulated patients gave these; the exact figures differ by their noise."""
    found = simulated(replaced, lambdas)

    assert found[:2] == (pytest.approx(accuracy, abs=3e-3), pytest.approx(error, abs=0.012))


def test_the_papers_pattern_needs_a_rejector_that_hardly_sees_the_clusters():
    """Joint between both single tasks and mostly kept: not with all numbers, nor with half."""
    for replaced in (0.0, 0.5):
        assert simulated(replaced, JOINT) == simulated(replaced, CLASS_ONLY)

    by_class, by_value, joint = (simulated(0.7, each) for each in (CLASS_ONLY, VALUE_ONLY, JOINT))

    assert by_value[0] < joint[0] < by_class[0]
    assert by_value[1] < joint[1] < by_class[1]
    assert joint[2] == pytest.approx(2 / 3)  # kept by the model, 67 %


def test_the_detection_experts_prices_are_as_their_operations():
    """R = 134.38 / 280.371, torchvision's count for Faster R-CNN ResNet-50-FPN v1 and v2."""
    ratio = 134.38 / 280.371

    assert ratio == pytest.approx(0.47929, abs=5e-6)
    prices = [round(ratio * price, 4) for price in (0.01, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)]
    assert prices == [0.0048, 0.0240, 0.0479, 0.0719, 0.0959, 0.1438, 0.2396]


DETECTION_SHARES = {
    0.01: ((0.0, 0.0, 100.0), (0.0, 0.0, 0.0)),
    0.05: ((7.3, 0.0, 92.7), (0.8, 0.0, 0.3)),
    0.1: ((48.0, 0.0, 52.0), (0.7, 0.0, 0.2)),
    0.15: ((68.1, 19.7, 12.2), (0.3, 0.4, 0.1)),
    0.2: ((77.5, 22.5, 0.0), (0.2, 0.5, 0.0)),
    0.3: ((98.1, 1.9, 0.0), (0.0, 0.1, 0.0)),
    0.5: ((100.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
}
"""arXiv:2410.15729, detection, by beta_2: shares of the three agents in percent, and deviations."""


def test_deviations_of_detection_shares_that_add_up_to_100_contradict_each_other_in_three_rows():
    """One share is 100 less the others, so its deviation is at most the sum of theirs.

    Each is printed to 0.1, that is, known to 0.05.
    """
    contradicted = [
        price
        for price, (shares, deviations) in DETECTION_SHARES.items()
        for one, two, three in itertools.permutations(deviations)
        if one - 0.05 > two + three + 0.1 + 1e-9 and two <= three
    ]

    assert all(sum(shares) == pytest.approx(100) for shares, _ in DETECTION_SHARES.values())
    assert sorted(set(contradicted)) == [0.05, 0.1, 0.2]
