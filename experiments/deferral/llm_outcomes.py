"""Recorded outcomes of language models, as prompts, costs and features that a rejector can use.

Letters: B prompts, A agents (models).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer

from assistlearn.deferral.arrays import Bools, Floats, Ints
from assistlearn.randomness import derive_seed
from experiments.deferral.common import Lesson

COMPONENTS: Final = 32
WORDS: Final = r"(?u)[\u4e00-\u9fff]|\b\w\w+\b"  # a Chinese character is a word
TEST, HELD_OUT = 0.2, 0.25  # of all rows; of the training rows
OVERLAP: Final = TEST / (1 - TEST)  # every seed divides the same rows anew
STRONG_PRICE: Final = 0.1  # of RouteLLM's strong model, in errors
DOLLAR: Final = 30.0  # what a dollar of RouterBench's is worth, in errors
SAMPLED: Final = ("gsm8k", "humaneval")  # graded by the share of ten answers that are right


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompts:
    """One set of outcomes."""

    agents: tuple[str, ...]
    """Agent 0 first."""
    texts: Any
    """``(B,)``."""
    tasks: Any
    """Task or subject of each prompt, the same for all where there is none. ``(B,)``."""
    errors: Floats
    """1 less each answer's score. ``(B, A)``, from 0 to 1."""
    prices: Floats
    """``(B, A)``."""
    correct: Bools
    """``(B, A)``."""

    def at(self, rows: Any) -> "Prompts":
        """Only these rows."""
        parts = ("texts", "tasks", "errors", "prices", "correct")
        return Prompts(agents=self.agents, **{each: getattr(self, each)[rows] for each in parts})

    @property
    def costs(self) -> Floats:
        """Errors and prices together. ``(B, A)``."""
        return self.errors + self.prices


def routellm(folder: Path, dataset: str) -> Prompts:
    """Mixtral-8x7B (agent 0) and GPT-4-1106: right or wrong."""
    found = _columns(folder / "routellm_mmlu_gsm8k_2models.parquet")
    names = {"mixtral": "mixtral_8x7b_correct", "gpt-4": "gpt4_1106_correct"}
    correct = np.stack([found[each] for each in names.values()], axis=1).astype(bool)
    every = Prompts(
        agents=tuple(names),
        texts=found["prompt"],
        tasks=found["subject"],
        errors=1.0 - correct,
        prices=np.tile([0.0, STRONG_PRICE], (len(correct), 1)),
        correct=correct,
    )
    return every.at(found["dataset"] == dataset)


def routerdc(folder: Path, tasks: Sequence[str] = ()) -> Prompts:
    """Seven models of 7 to 8 billion weights; the score of a choice is its probability."""
    found = _columns(folder / "routerdc_7models_scores.parquet")
    agents, scores = _scores(found)
    sampled = np.isin(found["task"], SAMPLED)[:, None]
    every = _graded(found, agents, scores, np.where(sampled, scores >= 1 / 2, scores > 0))
    return every.at(np.isin(found["task"], tasks) if tasks else found["split"] != "ood_test")


def llmrouter(folder: Path) -> Prompts:
    """Nine models of 7 to 70 billion weights; right from a score of one half."""
    found = _columns(folder / "llmrouter_9models_scores.parquet")
    agents, scores = _scores(found)
    return _graded(found, agents, scores, scores >= 1 / 2)


def routerbench(folder: Path, *, dollar: float = DOLLAR) -> Prompts:
    """Eleven models on three of RouterBench's tasks, with what every call did cost."""
    found = _columns(folder / "routerbench_0shot_arc_mbpp_winogrande_11models.parquet")
    names = [each.partition("|")[2] for each in found if each.startswith("correct|")]
    correct = np.stack([found[f"correct|{each}"] for each in names], axis=1).astype(bool)
    paid = np.stack([found[f"cost_usd|{each}"] for each in names], axis=1)
    return Prompts(
        agents=tuple(each.rpartition("/")[2] for each in names),
        texts=found["prompt"],
        tasks=found["task"],
        errors=1.0 - correct,
        prices=dollar * paid.astype(float),
        correct=correct,
    )


def _columns(path: Path) -> dict[str, Any]:
    read = pq.read_table(path)
    return {each: read[each].to_numpy(zero_copy_only=False) for each in read.column_names}


def _scores(found: Mapping[str, Any]) -> tuple[tuple[str, ...], Floats]:
    names = [each for each in found if each.startswith("score|")]
    scores = np.stack([found[each] for each in names], axis=1).astype(float)
    return tuple(each.replace("|", "/").rpartition("/")[2] for each in names), scores


def _graded(found: Mapping[str, Any], agents: Any, scores: Floats, correct: Bools) -> Prompts:
    return Prompts(
        agents=agents,
        texts=found["question"],
        tasks=found["task"],
        errors=1 - scores,
        prices=np.zeros_like(scores),
        correct=correct,
    )


def word_components(texts: Any, *, seed: int) -> Callable[[Any], Floats]:
    """From texts to components of their hashed words, those that matter most in ``texts``."""
    words = HashingVectorizer(n_features=1 << 14, token_pattern=WORDS)
    found = TruncatedSVD(COMPONENTS, n_iter=3, random_state=seed).fit(words.transform(texts))

    def components(some: Any) -> Floats:
        values: Floats = found.transform(words.transform(some))
        return values

    return components


def lesson(prompts: Prompts, seed: int) -> Lesson:
    """Divide the prompts at random, equal ones together, and turn texts into features.

    The components are those of the training rows' words; tasks follow them, one column each.
    """
    generator = np.random.default_rng(derive_seed(seed, "prompts"))
    _, same = np.unique(prompts.texts, return_inverse=True)
    test = _some(same, TEST, generator)
    train = np.setdiff1d(np.arange(len(same)), test)
    components = word_components(prompts.texts[train], seed=seed)
    _, task = np.unique(prompts.tasks, return_inverse=True)
    features = np.hstack([components(prompts.texts), np.eye(task.max() + 1)[task]])
    costs = prompts.costs
    return Lesson(
        agents=prompts.agents,
        features=features[train],
        costs=costs[train],
        held_out=_some(same[train], HELD_OUT, generator),
        test_features=features[test],
        test_costs=costs[test],
        test_prices=prompts.prices[test],
        test_correct=prompts.correct[test],
    )


def _some(same: Ints, share: float, generator: np.random.Generator) -> Ints:
    """Rows of a random share of the different texts."""
    different = np.unique(same)
    drawn = generator.permutation(different)[: round(share * len(different))]
    return np.flatnonzero(np.isin(same, drawn))
