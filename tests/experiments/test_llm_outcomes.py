"""Recorded outcomes of language models: how unevenly they are the right ones to ask."""

import os
from pathlib import Path

import numpy as np
import pytest

from assistlearn.deferral.report import Oracle
from experiments.deferral import llm_outcomes
from experiments.deferral.llm_outcomes import routellm


@pytest.fixture(scope="module")
def folder():
    """The recorded outcomes; a test that needs them is skipped where they are absent."""
    beside = Path(__file__).parents[2] / ".." / "shared" / "data"
    found = Path(os.environ.get("ASSISTLEARN_DATA", beside)) / "llm_routing"
    if not found.is_dir():
        pytest.skip(f"recorded outcomes are not at {found}: set ASSISTLEARN_DATA")
    return found


@pytest.mark.parametrize(("dataset", "strong", "ratio"), [("mmlu", 2497, 4.6), ("gsm8k", 383, 2.4)])
def test_routellms_weak_model_is_the_cheaper_answer_several_times_as_often(
    folder, dataset, strong, ratio
):
    """At any price below 1: the strong one is cheaper only where it alone is right."""
    oracle = Oracle.of(routellm(folder, dataset).costs)

    assert oracle.counts[1] == strong
    assert oracle.imbalance == pytest.approx(ratio, abs=0.05)


KNOWN = {
    "mistral-7b-chat": (684, 691),
    "mixtral-8x7b-chat": (136, 137),
    "WizardLM-13B-V1.2": (112, 114),
    "Yi-34B-Chat": (34, 35),
    "gpt-4-1106-preview": (8, 9),
    "claude-v2": (1, 1),
}
"""On how many questions a model is the cheapest right one: of those here, and of all 1,039."""
LEFT_OUT = 20  # questions of the 1,039


def test_routerbenchs_cheapest_right_models_are_counted_on_all_training_questions_but_20(folder):
    found = llm_outcomes._columns(folder / "routerbench_0shot_arc_mbpp_winogrande_11models.parquet")
    prompts = llm_outcomes.routerbench(folder).at(
        (found["task"] == "arc-challenge") & (found["split"] == "train")
    )
    solved = prompts.correct.any(axis=1)
    cheapest = np.where(prompts.correct, prompts.prices, np.inf).argmin(axis=1)[solved]

    counts = dict(zip(prompts.agents, np.bincount(cheapest, minlength=11).tolist(), strict=True))

    right = int(prompts.correct[:, prompts.agents.index("gpt-4-1106-preview")].sum())
    assert len(prompts.texts) == 1039 - LEFT_OUT
    assert {name: counts[name] for name in KNOWN} == {
        name: here for name, (here, _) in KNOWN.items()
    }
    assert sum(every - here for here, every in KNOWN.values()) <= LEFT_OUT
    assert (right, int(solved.sum())) == (971, 1005)
    for here, share in ((right, 0.9461), (int(solved.sum()), 0.9856)):
        assert 0 <= round(1039 * share) - here <= LEFT_OUT
