"""Every figure of a report, against slow and obvious loops and against identities."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from assistlearn.deferral.report import Oracle, deferral_report, effective_numbers, trial
from assistlearn.errors import ConfigError

COSTS = st.sampled_from([0.0, 0.25, 0.5, 1.0])  # few values, so that agents tie


@st.composite
def cases(draw):
    """Costs with prices in them, the prices, what is correct, and somebody's choices."""
    examples, agents = draw(st.integers(1, 8)), draw(st.integers(2, 4))
    shape = (examples, agents)
    errors = draw(hnp.arrays(np.float64, shape, elements=COSTS))
    prices = draw(hnp.arrays(np.float64, agents, elements=COSTS))
    correct = draw(hnp.arrays(np.bool_, shape))
    chosen = draw(hnp.arrays(np.int64, examples, elements=st.integers(0, agents - 1)))
    return errors + prices, prices, correct, chosen


def measure(costs, chosen, **more):
    """The metrics of one method."""
    return deferral_report(trial(costs, {"it": chosen}, **more)).methods[0].metrics[0]


@given(cases())
def test_losses_prices_and_accuracy_are_what_a_loop_adds_up(case):
    costs, prices, correct, chosen = case
    loss = price = right = regret = 0.0
    for row, agent in enumerate(chosen):
        loss += costs[row, agent] / len(chosen)
        price += prices[agent] / len(chosen)
        right += correct[row, agent] / len(chosen)
        regret += (costs[row, agent] - min(costs[row])) / len(chosen)

    found = measure(costs, chosen, prices=prices, correct_BA=correct)

    assert found.deferral_loss == pytest.approx(loss)
    assert found.price == pytest.approx(price)
    assert found.error == pytest.approx(loss - price)
    assert found.accuracy == pytest.approx(right)
    assert found.regret == pytest.approx(regret)
    assert found.regret >= 0


@given(cases())
def test_shares_recalls_and_divergence_are_what_a_loop_counts(case):
    costs, _, _, chosen = case
    agents = costs.shape[1]
    wanted, got, found_there = [0] * agents, [0] * agents, [0] * agents
    for row, agent in enumerate(chosen):
        cheapest = [each for each in range(agents) if costs[row, each] == min(costs[row])]
        if len(cheapest) == 1:
            wanted[cheapest[0]] += 1
            got[agent] += 1
            found_there[agent] += agent == cheapest[0]
    decided = sum(wanted)
    divergence = 0.0 if decided else math.nan
    for want, have in zip(wanted, got, strict=True):
        if want:
            share, given_ = want / decided, have / decided
            divergence += share * math.log(share / given_) if have else math.inf

    found = measure(costs, chosen)

    recalls = [
        hit / want if want else math.nan for hit, want in zip(found_there, wanted, strict=True)
    ]
    assert found.shares == pytest.approx([np.mean(chosen == each) for each in range(agents)])
    assert found.coverage == pytest.approx(np.mean(chosen == 0))
    assert found.recalls == pytest.approx(recalls, nan_ok=True)
    assert found.divergence == pytest.approx(divergence, nan_ok=True, abs=1e-12)
    if decided:
        assert found.recall_min == pytest.approx(np.nanmin(recalls))
        assert found.recall_mean == pytest.approx(np.nanmean(recalls))


@given(cases())
def test_the_audit_is_what_a_loop_sorts(case):
    costs, _, _, chosen = case
    shares = dict.fromkeys(("kept_right", "kept_wrong", "deferred_right", "deferred_wrong"), 0.0)
    stakes = dict(shares)
    for row, agent in enumerate(chosen):
        own, expert, paid = costs[row, 0], min(costs[row, 1:]), costs[row, agent]
        if agent == 0:
            part = "kept_right" if own <= expert else "kept_wrong"
            stake = abs(expert - own)
        else:
            part = "deferred_right" if paid <= own else "deferred_wrong"
            stake = abs(own - paid)
        shares[part] += 1 / len(chosen)
        stakes[part] += stake / len(chosen)

    audit = measure(costs, chosen).audit

    for part in shares:
        assert getattr(audit, part).share == pytest.approx(shares[part])
        assert getattr(audit, part).stake == pytest.approx(stakes[part])


@given(cases())
def test_the_deferral_loss_is_agent_0s_less_what_deferring_gained_and_lost(case):
    costs, _, _, chosen = case

    found = measure(costs, chosen)

    stakes = found.audit.deferred_wrong.stake - found.audit.deferred_right.stake
    assert found.deferral_loss == pytest.approx(costs[:, 0].mean() + stakes)


@given(cases())
def test_the_oracle_has_no_regret_finds_every_agent_and_makes_no_wrong_decision(case):
    costs, prices, _, chosen = case

    oracle = deferral_report(trial(costs, {"it": chosen}, prices=prices)).oracle.metrics[0]

    assert oracle.regret == 0
    assert all(math.isnan(each) or each == 1 for each in oracle.recalls)
    assert oracle.divergence == 0 or math.isnan(oracle.divergence)
    assert oracle.audit.kept_wrong.share == oracle.audit.deferred_wrong.share == 0


@given(cases())
def test_nobody_undercuts_the_oracle_and_another_agent_never_hurts_it(case):
    costs, _, _, chosen = case
    fewer = deferral_report(trial(costs, {"it": chosen}))
    more = deferral_report(trial(np.column_stack([costs, costs[:, ::-1]]), {"it": chosen}))

    losses = [fewer.methods[0], *(agent.alone for agent in fewer.agents)]
    least = fewer.oracle.metrics[0].deferral_loss
    assert all(each.metrics[0].deferral_loss >= least for each in losses)
    assert more.oracle.metrics[0].deferral_loss <= least


@given(cases())
def test_sending_everything_to_one_agent_saves_nothing_over_chance(case):
    costs, _, _, _ = case

    report = deferral_report(trial(costs, {"it": np.zeros(len(costs), dtype=int)}))

    for agent in report.agents:
        assert agent.alone.metrics[0].over_random == pytest.approx(0)


@given(cases())
def test_the_figure_over_random_is_the_mean_over_all_orders_of_the_same_choices(case):
    """All rotations give every choice to every example once, as all orders do on average."""
    costs, _, _, chosen = case
    rows = np.arange(len(chosen))
    rotations = [costs[rows, np.roll(chosen, shift)].mean() for shift in rows]

    found = measure(costs, chosen)

    assert found.over_random == pytest.approx(np.mean(rotations) - found.deferral_loss)


@given(cases(), st.randoms(use_true_random=False))
def test_experts_in_another_order_have_their_figures_in_that_order(case, random):
    costs, _, _, chosen = case
    order = [0, *random.sample(range(1, costs.shape[1]), costs.shape[1] - 1)]
    place = np.argsort(order)

    before = measure(costs, chosen)
    after = measure(costs[:, order], place[chosen])

    assert after.shares == pytest.approx([before.shares[each] for each in order])
    assert after.recalls == pytest.approx([before.recalls[each] for each in order], nan_ok=True)
    assert after.deferral_loss == pytest.approx(before.deferral_loss)
    assert after.audit == before.audit


def test_group_figures_are_those_of_the_groups_examples_alone():
    generator = np.random.default_rng(5)
    costs, chosen = generator.random((30, 3)), generator.integers(0, 3, 30)
    correct, labels = costs < 0.4, np.array(["rare", "common", "common"] * 10)

    found = measure(costs, chosen, correct_BA=correct, groups_B=labels)

    assert [group.label for group in found.groups] == ["common", "rare"]
    for group in found.groups:
        rows = labels == group.label
        alone = measure(costs[rows], chosen[rows], correct_BA=correct[rows])
        assert group.count == rows.sum()
        assert group.deferral_loss == pytest.approx(alone.deferral_loss)
        assert group.regret == pytest.approx(alone.regret)
        assert group.coverage == pytest.approx(alone.coverage)
        assert group.accuracy == pytest.approx(alone.accuracy)


def outcomes(both_right, both_wrong, strong_only, weak_only):
    """Correctness of a weak and a strong model, as the four counts say."""
    rows = [[1, 1]] * both_right + [[0, 0]] * both_wrong + [[0, 1]] * strong_only
    return np.array(rows + [[1, 0]] * weak_only)


@pytest.mark.parametrize(
    ("counts", "price", "weak", "strong", "oracle"),
    [
        ((8818, 1985, 2497, 742), 0.0, 0.3192, 0.1942, 0.1414),
        ((8818, 1985, 2497, 742), 0.05, 0.3192, 0.2442, 0.1503),
        ((8818, 1985, 2497, 742), 0.2, 0.3192, 0.3942, 0.1769),
        ((747, 94, 383, 95), 0.05, 0.3616, 0.1933, 0.0858),
        ((747, 94, 383, 95), 0.2, 0.3616, 0.3433, 0.1293),
    ],
)
def test_a_report_finds_the_known_losses_of_mixtral_and_gpt_4(counts, price, weak, strong, oracle):
    """Counts of RouteLLM's MMLU and GSM8K answers (arXiv:2406.18665), losses worked out by hand."""
    correct = outcomes(*counts)
    costs = 1 - correct + np.array([0, price])

    report = deferral_report(
        trial(costs, {"weak": np.zeros(len(costs), int)}, prices=[0, price], correct_BA=correct)
    )

    alone = [agent.alone.metrics[0].deferral_loss for agent in report.agents]
    assert alone == pytest.approx([weak, strong], abs=6e-5)
    assert report.oracle.metrics[0].deferral_loss == pytest.approx(oracle, abs=6e-5)


def test_a_price_decides_ties_and_so_changes_the_imbalance():
    """MMLU: 4.6 to 1 as soon as asking costs anything; without a price most examples are ties."""
    correct = outcomes(8818, 1985, 2497, 742)

    free, paid = Oracle.of(1.0 - correct), Oracle.of(1 - correct + np.array([0, 0.05]))

    assert free.counts.tolist() == [742, 2497]
    assert free.imbalance == pytest.approx(3.365, abs=1e-3)
    assert paid.counts.tolist() == [11545, 2497]
    assert paid.imbalance == pytest.approx(4.624, abs=1e-3)


def test_an_imbalance_is_infinite_if_an_agent_is_never_needed_and_undefined_if_none_is():
    assert Oracle.of(np.array([[0.0, 1.0]])).imbalance == math.inf
    assert math.isnan(Oracle.of(np.array([[1.0, 1.0]])).imbalance)


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e6])
def test_costs_that_differ_by_rounding_alone_are_equal(unit):
    """0.1 + 0.2 is not 0.3 to a computer, but the same money."""
    wrong = (np.arange(50) % 3 == 0)[:, None] * 1.0
    costs = unit * np.hstack([wrong + 0.1 + 0.2, wrong + 0.3])
    assert (costs[:, 0] > costs[:, 1]).any()

    report = deferral_report(trial(costs, {"keep": np.zeros(50, int), "defer": np.ones(50, int)}))

    assert report.decided == (0.0,)
    assert report.oracle.metrics[0].coverage == 1
    assert math.isnan(report.imbalance[0])
    for method in report.methods:
        found = method.metrics[0]
        assert found.regret == 0
        assert math.isnan(found.recall_min)
        assert math.isnan(found.divergence)
        assert found.audit.kept_wrong.share == found.audit.deferred_wrong.share == 0


def test_a_difference_that_counts_is_still_one():
    costs = np.array([[0.3, 0.3 - 1e-6], [1e9, 1e9 - 10]])

    assert Oracle.of(costs).agents.tolist() == [1, 1]


def test_recall_is_undefined_in_a_seed_without_examples_of_an_agent_that_others_need():
    """Without it the agent that is overlooked everywhere would count where it is found only."""
    often, never = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 1.0]])
    trials = [trial(costs, {"it": [0, 0]}, seed=seed) for seed, costs in enumerate([often, never])]

    both = deferral_report(trials).methods[0].metrics
    alone = deferral_report(trials[1]).methods[0].metrics

    assert [each.recall_min for each in both] == pytest.approx([0, math.nan], nan_ok=True)
    assert [each.recall_mean for each in both] == pytest.approx([0.5, math.nan], nan_ok=True)
    assert alone[0].recall_min == 1


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9999])
def test_an_effective_number_is_the_sum_of_a_geometric_series(beta):
    counts = [0, 1, 2, 50]
    sums = [sum(beta**power for power in range(count)) for count in counts]

    assert effective_numbers(counts, beta=beta).tolist() == pytest.approx(sums)


def test_a_beta_of_one_is_refused():
    with pytest.raises(ConfigError, match="beta is 1"):
        effective_numbers([3], beta=1.0)
