"""Outcomes of language models: what the files hold, how they are divided, what is figured out."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from threadpoolctl import threadpool_limits

from assistlearn.deferral.report import Oracle, average_quality, deferral_report, trial
from experiments.deferral import llm_outcomes
from experiments.deferral.common import EQUAL, MILD, RAMP, joined, kept
from experiments.deferral.llm_figure import draw
from experiments.deferral.llm_outcomes import COMPONENTS, Prompts, lesson, routellm
from experiments.deferral.llm_quality import MIXED, cost_quality, recovered
from experiments.deferral.llm_routing import BY_TASK, SHORT, study, study_kinked
from experiments.deferral.tables import margins_chosen, paired, plain, shares, table


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in the studies: matrices are small, and threads would wait for each other."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def folder():
    """The recorded outcomes; a test that needs them is skipped where they are absent."""
    beside = Path(__file__).parents[2] / ".." / "shared" / "data"
    found = Path(os.environ.get("ASSISTLEARN_DATA", beside)) / "llm_routing"
    if not found.is_dir():
        pytest.skip(f"recorded outcomes are not at {found}: set ASSISTLEARN_DATA")
    return found


def made_up(rows=240, agents=3):
    """Prompts of two tasks, each best answered by a model of its own; some prompts repeat."""
    generator = np.random.default_rng(0)
    tasks = np.array(["sums", "verse"])[np.arange(rows) % 2]
    texts = np.array([f"{task} question number {at // 4}" for at, task in enumerate(tasks)])
    right = np.where(tasks == "sums", 0.9, 0.3)[:, None]
    correct = generator.random((rows, agents)) < np.hstack([right, 1.1 - right, right * 0 + 0.4])
    prices = np.tile([0.0, 0.1, 0.02], (rows, 1))
    return Prompts(
        agents=("a", "b", "c"),
        texts=texts,
        tasks=tasks,
        errors=1.0 - correct,
        prices=prices + generator.random((rows, 1)) / 1e6,  # every row its own
        correct=correct,
    )


@pytest.fixture(scope="module")
def measured():
    """All methods on two divisions of the made-up prompts."""
    return [joined(study(made_up(), seed), study_kinked(made_up(), seed)) for seed in range(2)]


@pytest.fixture(scope="module")
def report(measured):
    return deferral_report([each.trial for each in measured], agents=made_up().agents)


@pytest.mark.parametrize(
    ("dataset", "rows", "accuracies", "counts"),
    [
        ("mmlu", 14_042, (0.6808, 0.8058, 0.8586), (8818, 1985, 2497, 742)),
        ("gsm8k", 1_319, (0.6384, 0.8567, 0.9287), (747, 94, 383, 95)),
    ],
)
def test_routellm_has_the_known_base_rates(folder, dataset, rows, accuracies, counts):
    weak, strong = routellm(folder, dataset).correct.T

    assert len(weak) == rows
    assert (weak.mean(), strong.mean(), (weak | strong).mean()) == pytest.approx(
        accuracies, abs=5e-5
    )
    parts = (weak & strong, ~weak & ~strong, strong & ~weak, weak & ~strong)
    assert tuple(int(each.sum()) for each in parts) == counts


@pytest.mark.parametrize(
    ("dataset", "losses"), [("mmlu", (0.3192, 0.2942, 0.1591)), ("gsm8k", (0.3616, 0.2433, 0.1003))]
)
def test_routellm_at_a_price_of_a_tenth_costs_what_is_known(folder, dataset, losses):
    costs = routellm(folder, dataset).costs

    assert (*costs.mean(axis=0), costs.min(axis=1).mean()) == pytest.approx(losses, abs=5e-5)


def scores_of(folder, name, **where):
    found = llm_outcomes._columns(folder / name)
    agents, scores = llm_outcomes._scores(found)
    rows = np.all([found[key] == value for key, value in where.items()], axis=0)
    return agents, scores[rows]


ROUTERDC, LLMROUTER = "routerdc_7models_scores.parquet", "llmrouter_9models_scores.parquet"


@pytest.mark.parametrize(
    ("name", "where", "best", "known"),
    [
        (
            ROUTERDC, {"task": "mmlu", "split": "test"}, "zephyr-7b-beta",
            (4213, 0.5497, 0.7270, (1869, 724, 410, 241, 158, 157, 33), 621),
        ),
        (
            ROUTERDC, {"task": "gsm8k", "split": "test"}, "dolphin-2.9-llama3-8b",
            (1319, 0.6981, 0.8332, (206, 190, 40, 38, 21, 17, 15), 792),
        ),
        (
            LLMROUTER, {"split": "train"}, "llama-3.1-nemotron-51b-instruct",
            (5608, 0.6213, 0.8017, (169, 141, 96, 62, 56, 33, 32, 17, 14), 4988),
        ),
    ],
)  # fmt: skip
def test_graded_answers_have_the_known_base_rates(folder, name, where, best, known):
    agents, scores = scores_of(folder, name, **where)
    means = scores.mean(axis=0)

    found = Oracle.of(1 - scores)

    rows, highest, oracle, counts, ties = known
    assert len(scores) == rows
    assert agents[int(means.argmax())] == best
    assert (means.max(), scores.max(axis=1).mean()) == pytest.approx((highest, oracle), abs=5e-5)
    assert tuple(sorted(found.counts.tolist(), reverse=True)) == counts
    assert int((~found.decided).sum()) == ties


def test_equal_prompts_are_never_divided_and_the_rest_is_divided_as_said():
    prompts = made_up()

    made = lesson(prompts, 0)

    assert len(made.costs) + len(made.test_costs) == len(prompts.texts)
    rows = {tuple(row): text for row, text in zip(prompts.costs, prompts.texts, strict=True)}
    train, test = ({rows[tuple(row)] for row in costs} for costs in (made.costs, made.test_costs))
    held_out = {rows[tuple(row)] for row in made.costs[made.held_out]}
    rest = {rows[tuple(row)] for row in np.delete(made.costs, made.held_out, axis=0)}
    assert not train & test
    assert not held_out & rest
    assert len(test) == round(0.2 * len(set(prompts.texts)))


def test_the_task_is_told_to_the_rejector_in_columns_of_its_own():
    prompts = made_up()

    made = lesson(prompts, 0)

    columns = made.test_features[:, COMPONENTS:]
    assert columns.shape[1] == 2
    assert set(columns.sum(axis=1)) == {1.0}


def test_a_router_that_knows_recovers_the_gap_with_the_calls_that_it_takes():
    """The strong model alone is right on half of the prompts, and these are asked first."""
    correct = np.array([[1, 1], [1, 1], [0, 1], [0, 1]])
    scores = np.array([[1.0, 0.0], [1.1, 0.0], [0.0, 1.0], [0.0, 1.1]])

    class Made:
        agents = scores.argmax(axis=1)

    Made.scores = scores
    made = trial(1.0 - correct, {"knows": Made}, correct_BA=correct)

    found = recovered(deferral_report([made, made]))["knows"]

    assert found["APGR"].mean == pytest.approx(0.75, abs=1e-3)
    shares_of_calls = [found[f"CPT({each} %)"].mean for each in (20, 50, 80)]
    assert shares_of_calls == pytest.approx([0.1, 0.25, 0.4])


def test_quality_for_money_is_that_of_the_hull_and_the_oracle_is_above_it():
    correct = np.array([[1, 0], [0, 1], [0, 1], [0, 0]], dtype=float)
    paid = np.tile([0.001, 0.01], (4, 1))
    trials = {
        dollar: [trial(1 - correct + dollar * paid, {"all": np.ones(4, int)}, prices=dollar * paid)]
        for dollar in (1.0, 10.0)
    }

    found = cost_quality(trials, ["all"], overlap=0.0)

    mixed = average_quality([0.001, 0.01], [0.25, 0.5], upto=0.01)
    assert found[MIXED]["AIQ"].mean == pytest.approx(mixed)
    assert found["all"]["AIQ"].mean == pytest.approx(mixed)
    assert found["oracle"]["AIQ"].mean > mixed + 0.1
    assert found["all"]["points"] == pytest.approx(np.array([[0.01, 0.5]] * 2))


def test_equal_margins_are_the_plain_surrogate(report):
    one, other = (report.method(each).metrics for each in (EQUAL, "two_stage = mao_2024"))

    assert [each.deferral_loss for each in one] == [each.deferral_loss for each in other]


def test_methods_learn_which_model_is_for_which_task(report):
    best = report.best_agent.alone.metrics

    for name in (EQUAL, MILD, "plug-in", BY_TASK):
        for seed, found in enumerate(report.method(name).metrics):
            assert found.deferral_loss < best[seed].deferral_loss - 0.1


def test_what_is_kept_is_not_made_again_and_comes_back_the_same(measured, tmp_path):
    calls = []

    def make():
        calls.append(1)
        return measured[0]

    kept(tmp_path, "one", make)
    again = kept(tmp_path, "one", make)

    assert len(calls) == 1
    assert again.settings[MILD] == json.loads(json.dumps(measured[0].settings[MILD]))
    for name, routing in measured[0].trial.methods.items():
        back = again.trial.methods[name]
        assert (back.agents == routing.agents).all()
        assert (back.scores is None) == (routing.scores is None)
    assert again.trial.correct.sum() == measured[0].trial.correct.sum()


def test_tables_and_json_hold_every_method_every_agent_and_the_oracle(measured, report):
    document = json.loads(json.dumps(plain(report)))
    text = table(report, "made up").text()

    for name in (*(each.name for each in report.methods), "always a", "always c", "oracle"):
        assert name in text
        assert len(document["methods"][name]["deferral loss by seed"]) == 2
    assert document["methods"]["oracle"]["regret"] == [0, 0]
    assert document["methods"][EQUAL][f"minus {EQUAL}"] == [0, 0]
    assert "MILD, theory rule: loss" in paired({"made up": report}).text()
    assert margins_chosen(measured).count(",") == 2
    assert margins_chosen(measured, RAMP).startswith("e = ")
    assert all(each in shares(report).text() for each in ("plug-in", "oracle"))


def test_results_are_drawn_in_a_small_file(measured, report, tmp_path):
    dollars = cost_quality({1.0: [measured[0].trial]}, SHORT, overlap=0.0)

    draw(tmp_path / "figure.png", {"made up": report}, dollars, bars="made up", note="all of it")

    assert (tmp_path / "figure.png").stat().st_size < 150_000
    assert imread(tmp_path / "figure.png").shape[1] > 800
