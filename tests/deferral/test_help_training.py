"""Training server and rejector together: the schedule, who sees what, and what stays the same."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from assistlearn.deferral.help import (
    HelpCosts,
    bayes_rule,
    fixed_server_rule,
    rejector_surrogate,
    released_code_surrogate,
)
from assistlearn.deferral.help_training import (
    Batch,
    LiveServer,
    ServerBits,
    ServerCopy,
    is_right,
    train_help,
)
from assistlearn.deferral.two_stage import chosen_agents, two_stage_surrogate
from assistlearn.errors import ConfigError, DataError

CLASSES = 3
PAPER = HelpCosts(query_cost=0.25, server_error_cost=1.25)
CHEAP = HelpCosts(query_cost=0.1, server_error_cost=0.2)


def network(outputs, *, seed):
    """With everything that a mode or a random state could disturb."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, outputs)
        )


class Parties:
    """One client, server and rejector on 30 examples in 5 batches; the same each time."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.inputs_NF = torch.randn(30, 4, generator=generator)
        self.targets_N = torch.randint(CLASSES, (30,), generator=generator)
        self.client_model = network(CLASSES, seed=1)
        self.server_model = network(CLASSES, seed=2)
        self.rejector = network(2, seed=3)

    def loader(self, *, shuffle=True):
        data = TensorDataset(torch.arange(30), self.inputs_NF, self.targets_N)
        return DataLoader(data, batch_size=6, shuffle=shuffle)

    def train(self, *, view=None, costs=PAPER, loss=rejector_surrogate, epochs=2, sync_interval=1):
        torch.manual_seed(7)
        return train_help(
            client_model=self.client_model,
            server_model=self.server_model,
            rejector=self.rejector,
            server_optimizer=torch.optim.SGD(self.server_model.parameters(), 0.3, momentum=0.9),
            rejector_optimizer=torch.optim.SGD(self.rejector.parameters(), 0.02, momentum=0.9),
            batches=self.loader(),
            rejector_loss=partial(loss, costs=costs),
            epochs=epochs,
            server_view=view and view(self),
            sync_interval=sync_interval,
        )


def live(parties):
    return LiveServer(parties.server_model)


def copied(parties):
    return ServerCopy(parties.server_model)


def bits(parties):
    return ServerBits(parties.server_model, parties.loader(shuffle=False))


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def trained(**settings):
    parties = Parties()
    parties.steps = parties.train(**settings)
    return parties


def right_in_eval_mode(model, inputs, targets):
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        return model(inputs).argmax(1) == targets


@pytest.mark.parametrize("sync_interval", [1, 2, 3, 100, "epoch"])
def test_training_is_what_the_papers_loop_does_step_by_step(sync_interval):
    """Server step, copy of the server if it is time, rejector step; counted anew each epoch."""
    naive = Parties()
    torch.manual_seed(7)
    server, rejector = naive.server_model, naive.rejector
    server_sgd = torch.optim.SGD(server.parameters(), 0.3, momentum=0.9)
    rejector_sgd = torch.optim.SGD(rejector.parameters(), 0.02, momentum=0.9)
    seen = copy.deepcopy(server)
    loader = naive.loader()
    for _ in range(2):
        for i, (_, inputs, targets) in enumerate(list(loader)):
            server_sgd.zero_grad()
            functional.cross_entropy(server(inputs), targets).backward()
            server_sgd.step()
            if i == 4 if sync_interval == "epoch" else i % sync_interval == 0:
                seen = copy.deepcopy(server)
            scores = rejector(inputs).log_softmax(1)
            server_right = right_in_eval_mode(seen, inputs, targets)
            client_right = right_in_eval_mode(naive.client_model, inputs, targets)
            weight = 1 - 0.25 - 1.25 * (~server_right).float()
            rejector_sgd.zero_grad()
            (-client_right.float() * scores[:, 0] - weight * scores[:, 1]).sum().backward()
            rejector_sgd.step()

    parties = trained(view=copied, sync_interval=sync_interval)

    assert same(parties.server_model, server)
    for ours, theirs in zip(parties.rejector.parameters(), rejector.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("sync_interval", "refreshed"),
    [
        (1, [0, 1, 2, 3, 4]),
        (2, [0, 2, 4]),
        (3, [0, 3]),
        (100, [0]),
        ("epoch", [4]),
    ],
)
def test_the_view_is_refreshed_at_multiples_of_s_in_each_epoch(sync_interval, refreshed):
    steps = trained(view=copied, sync_interval=sync_interval).steps

    for epoch in (0, 1):
        assert [
            step.iteration for step in steps if step.epoch == epoch and step.refreshed
        ] == refreshed


def test_an_interval_of_1_is_synchronous_training_bit_for_bit():
    synchronous, asynchronous = trained(view=None), trained(view=copied, sync_interval=1)

    assert same(synchronous.rejector, asynchronous.rejector)
    assert same(synchronous.server_model, asynchronous.server_model)
    assert synchronous.steps == asynchronous.steps


@pytest.mark.parametrize("sync_interval", [1, 3, "epoch"])
def test_one_bit_for_each_example_does_for_the_client_what_a_copy_of_the_weights_does(
    sync_interval,
):
    """Intermittent availability needs no weights on the client: bit for bit the same rejector."""
    by_weights = trained(view=copied, sync_interval=sync_interval)
    by_bits = trained(view=bits, sync_interval=sync_interval)

    assert same(by_weights.rejector, by_bits.rejector)
    assert by_weights.steps == by_bits.steps


def test_a_stale_view_is_not_the_same_as_a_fresh_one():
    """Else the tests above could not tell a schedule from none."""
    fresh, stale = trained(view=copied), trained(view=copied, sync_interval="epoch")

    assert not same(fresh.rejector, stale.rejector)


def test_with_epoch_the_rejector_sees_an_untrained_server_until_the_end_of_the_first():
    parties = Parties()
    untrained = copy.deepcopy(parties.server_model)
    view = ServerCopy(parties.server_model)
    all_N = Batch(torch.arange(30), parties.inputs_NF, parties.targets_N)
    seen, loader = [], parties.loader()

    def record(scores_B2, client_right_B, server_right_B):
        seen.append(view.is_right(all_N))
        return scores_B2.sum(1)

    train_help(
        client_model=parties.client_model,
        server_model=parties.server_model,
        rejector=parties.rejector,
        server_optimizer=torch.optim.SGD(parties.server_model.parameters(), 0.3),
        rejector_optimizer=torch.optim.SGD(parties.rejector.parameters(), 0.0),
        batches=loader,
        rejector_loss=record,
        epochs=1,
        server_view=view,
        sync_interval="epoch",
    )

    for before in seen[:4]:
        assert torch.equal(before, is_right(untrained, all_N))
    assert torch.equal(seen[4], is_right(parties.server_model, all_N))
    assert not torch.equal(seen[4], seen[3])


def test_the_server_comes_out_the_same_whatever_costs_interval_and_view_are():
    reference = trained()
    others = [
        trained(costs=CHEAP),
        trained(costs=HelpCosts(query_cost=0.0, server_error_cost=0.0)),
        trained(loss=released_code_surrogate),
        trained(loss=partial(rejector_surrogate, bounded=True)),
        trained(view=copied, sync_interval=3),
        trained(view=bits, sync_interval="epoch"),
    ]

    assert all(same(other.server_model, reference.server_model) for other in others)
    assert not same(others[0].rejector, reference.rejector)


def test_the_client_model_is_not_changed_by_one_bit():
    parties = Parties()
    before = copy.deepcopy(parties.client_model)

    parties.train()

    assert same(parties.client_model, before)
    assert parties.client_model.training
    assert all(parameter.grad is None for parameter in parties.client_model.parameters())


def test_no_loss_reaches_the_other_sides_parameters():
    parties = Parties()
    batch = Batch(torch.arange(30), parties.inputs_NF, parties.targets_N)
    answers = is_right(parties.client_model, batch), is_right(parties.server_model, batch)

    scores_B2 = parties.rejector(batch.inputs)
    rejector_surrogate(scores_B2, *answers, costs=PAPER).sum().backward()

    assert all(parameter.grad is None for parameter in parties.server_model.parameters())
    assert all(parameter.grad is not None for parameter in parties.rejector.parameters())


def test_asking_whether_a_model_is_right_leaves_its_mode_buffers_and_the_random_state():
    parties = Parties()
    parties.server_model[1].eval()  # a frozen normalisation
    before, state = copy.deepcopy(parties.server_model), torch.get_rng_state()
    batch = Batch(torch.arange(30), parties.inputs_NF, parties.targets_N)

    right_B = is_right(parties.server_model, batch)

    assert torch.equal(right_B, right_in_eval_mode(before, batch.inputs, batch.targets))
    assert [module.training for module in parties.server_model] == [True, False, True, True, True]
    assert same(parties.server_model, before)
    assert torch.equal(torch.get_rng_state(), state)


class Discrete:
    """6 inputs, 2 classes, models that are tables; examples in the problem's proportions."""

    def __init__(self):
        self.chance_X = torch.tensor([0.05, 0.2, 0.35, 0.6, 0.8, 0.95])  # of class 1
        inputs, targets = [], []
        for x, chance in enumerate(self.chance_X.tolist()):
            ones = round(20 * chance)
            inputs += [x] * 20
            targets += [1] * ones + [0] * (20 - ones)
        self.batch = Batch(torch.arange(120), torch.tensor(inputs), torch.tensor(targets))
        self.client_model = nn.Embedding(6, 2)
        self.client_model.weight.data = torch.tensor([[1.0, 0.0]] * 5 + [[0.0, 1.0]])
        self.server_model = nn.Embedding(6, 2)
        self.rejector = nn.Embedding(6, 2)
        for table in (self.server_model, self.rejector):
            table.weight.data.zero_()

    def train(self, rejector_loss):
        train_help(
            client_model=self.client_model,
            server_model=self.server_model,
            rejector=self.rejector,
            server_optimizer=torch.optim.Adam(self.server_model.parameters(), 0.1),
            rejector_optimizer=torch.optim.Adam(self.rejector.parameters(), 0.1),
            batches=[self.batch],
            rejector_loss=rejector_loss,
            epochs=150,
        )
        return chosen_agents(self.rejector.weight.detach()).tolist()

    def bayes(self, costs):
        posterior_X2 = torch.stack([1 - self.chance_X, self.chance_X], dim=1)
        return bayes_rule(posterior_X2, self.client_model.weight.argmax(1), costs)


@pytest.mark.parametrize("costs", [PAPER, CHEAP])
@pytest.mark.parametrize("bounded", [False, True])
def test_trained_tables_end_at_the_bayes_server_and_the_bayes_rejector(costs, bounded):
    problem = Discrete()

    decisions = problem.train(partial(rejector_surrogate, costs=costs, bounded=bounded))

    server_X, agents_X = problem.bayes(costs)
    assert problem.server_model.weight.argmax(1).tolist() == server_X.tolist()
    assert decisions == agents_X.tolist()
    assert 0 < sum(decisions) < 6


def test_a_two_stage_surrogate_serves_as_the_rejectors_loss_too():
    problem = Discrete()

    decisions = problem.train(
        lambda scores_B2, client_B, server_B: two_stage_surrogate(
            scores_B2, CHEAP.agent_costs(client_B, server_B)
        )
    )

    assert decisions == problem.bayes(CHEAP)[1].tolist()


def test_trained_with_the_released_codes_sign_the_rejector_asks_where_it_should_not():
    problem = Discrete()
    costs = HelpCosts(query_cost=0.25, server_error_cost=1.0)

    decisions = problem.train(partial(released_code_surrogate, costs=costs))

    client_X = torch.tensor([0.95, 0.8, 0.65, 0.4, 0.2, 0.95])
    server_X = torch.maximum(problem.chance_X, 1 - problem.chance_X)
    assert decisions == (client_X <= 0.75 + (1 - server_X)).int().tolist()
    assert decisions != fixed_server_rule(client_X, server_X, costs).tolist()


@pytest.mark.parametrize("sync_interval", [0, -1, 1.5, "never"])
def test_an_interval_that_is_none_is_refused(sync_interval):
    with pytest.raises(ConfigError, match="sync_interval is"):
        trained(sync_interval=sync_interval)


def test_batches_that_run_out_after_one_epoch_are_refused():
    parties = Parties()
    parties.loader = lambda: iter(
        DataLoader(
            TensorDataset(torch.arange(30), parties.inputs_NF, parties.targets_N), batch_size=6
        )
    )

    with pytest.raises(DataError, match="an epoch has no batches"):
        parties.train(epochs=2)


@pytest.mark.parametrize("numbers", [[0, 1, 3], [0, 1, 1], [1, 2, 3]])
def test_bits_of_examples_that_are_not_all_numbered_once_are_refused(numbers):
    batch = Batch(torch.tensor(numbers), torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64))

    with pytest.raises(DataError, match="must be 0, 1, 2"):
        ServerBits(network(CLASSES, seed=1), [batch])


def test_bits_of_no_examples_are_refused():
    with pytest.raises(DataError, match="no examples to ask"):
        ServerBits(network(CLASSES, seed=1), [])
