"""Everything stays on its inputs' device.

Shown without an accelerator: the default device is one without memory, so that a tensor made
anywhere but on the inputs' device cannot be combined with them.
"""

import pytest
import torch

from assistlearn.deferral.bayes import bayes_agents, deferral_regret
from assistlearn.deferral.consistency import (
    conditional_minimizer,
    least_conditional_risk,
    minimizability_gap,
)
from assistlearn.deferral.costs import (
    agent_costs,
    classification_costs,
    regression_costs,
    score_costs,
)
from assistlearn.deferral.help import (
    HelpCosts,
    bayes_rule,
    rejector_surrogate,
    released_code_surrogate,
    stage_switching_surrogate,
)
from assistlearn.deferral.help_training import Batch, ServerBits
from assistlearn.deferral.top_k import top_k_deferral_loss
from assistlearn.deferral.two_stage import deferral_loss, two_stage_surrogate

LABELS_B = torch.tensor([0, 1, 1])
RIGHT_B = torch.tensor([True, False, True])
MATRIX_B2 = torch.tensor([[0.1, 0.9], [0.5, 0.4], [0.3, 0.8]])
COSTS = HelpCosts(query_cost=0.25, server_error_cost=1.0)
CALLS = {
    "surrogate": lambda: two_stage_surrogate(MATRIX_B2, MATRIX_B2, nu=0.5),
    "true loss": lambda: deferral_loss(MATRIX_B2, MATRIX_B2.int()),
    "top k": lambda: top_k_deferral_loss(MATRIX_B2, MATRIX_B2, 1),
    "classes": lambda: classification_costs(LABELS_B.unsqueeze(1).expand(3, 2), LABELS_B),
    "values": lambda: regression_costs(MATRIX_B2, MATRIX_B2[:, 0], clamp=1.0),
    "scores": lambda: score_costs(MATRIX_B2),
    "joint": lambda: agent_costs([MATRIX_B2], lambdas_T=[0.5], prices_A=[0.0, 0.1]),
    "bayes": lambda: bayes_agents(MATRIX_B2),
    "regret": lambda: deferral_regret(MATRIX_B2, MATRIX_B2),
    "minimiser": lambda: conditional_minimizer(MATRIX_B2, 2.0),
    "least risk": lambda: least_conditional_risk(MATRIX_B2, 1.5),
    "help costs": lambda: COSTS.agent_costs(RIGHT_B, RIGHT_B),
    "help rule": lambda: bayes_rule(MATRIX_B2, LABELS_B, COSTS)[1],
    "rejector": lambda: rejector_surrogate(MATRIX_B2, RIGHT_B, RIGHT_B, costs=COSTS, bounded=True),
    "released": lambda: released_code_surrogate(MATRIX_B2, RIGHT_B, RIGHT_B, costs=COSTS),
    "switch": lambda: stage_switching_surrogate(
        MATRIX_B2, MATRIX_B2, LABELS_B, client_labels_B=LABELS_B, costs=COSTS
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_results_are_on_the_inputs_device_and_the_same_whatever_the_default_is(name):
    expected = CALLS[name]()

    with torch.device("meta"):
        found = CALLS[name]()

    assert found.device == MATRIX_B2.device
    assert torch.equal(found, expected)


def test_gaps_and_bits_need_no_default_device_either():
    model = torch.nn.Embedding(3, 2)
    batch = Batch(torch.arange(3), torch.arange(3), LABELS_B)

    with torch.device("meta"):
        gap = minimizability_gap(1.0, MATRIX_B2, torch.tensor([0.2, 0.3, 0.5], device="cpu"))
        right_B = ServerBits(model, [batch]).is_right(batch)

    assert gap < 1
    assert right_B.device == MATRIX_B2.device
