import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset, TensorDataset

from assistlearn.checkpoints import CheckpointStore
from assistlearn.checkpoints.tensors import model_spec
from assistlearn.errors import ConfigError, DeviceError, TaskError
from assistlearn.task import Task
from assistlearn.tasks import SupervisedTask
from assistlearn.tasks.objectives import cross_entropy, squared_error
from assistlearn.training import Trainer, local_loss

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(50, 3, generator=GENERATOR)
LABELS = (INPUTS.sum(1) > 0).long() + (INPUTS[:, 0] > 1).long()
VALUES = INPUTS @ torch.tensor([1.0, -2.0, 0.5]) + 1


def network(outputs: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs))


def classification(**changes: Any) -> SupervisedTask:
    parts: dict[str, Any] = {
        "build": network,
        "train": (INPUTS, LABELS),
        "optimizer_settings": {"lr": 0.1, "momentum": 0.9},
        "batch_size": 8,
        "device": "cpu",
    }
    return SupervisedTask(**(parts | changes))


def regression(**changes: Any) -> SupervisedTask:
    return classification(
        build=lambda: nn.Linear(3, 1), train=(INPUTS, VALUES), loss="mse", **changes
    )


def trained(task: SupervisedTask, updates: int = 100) -> nn.Module:
    torch.manual_seed(0)
    model = task.build_model()
    task.train(model, task.build_optimizer(model), range(updates))
    return model


def test_it_is_a_task() -> None:
    assert isinstance(classification(), Task)


def test_training_lowers_the_loss() -> None:
    task = classification()

    before, after = (local_loss(task, trained(task, updates)) for updates in (0, 100))

    assert before is not None
    assert after is not None
    assert after.total < before.total / 2


def test_update_sees_the_same_batch_however_the_range_is_cut() -> None:
    task = classification()
    whole = trained(task, 30)
    torch.manual_seed(0)
    model = task.build_model()
    optimizer = task.build_optimizer(model)

    for part in (range(11), range(11, 12), range(12, 30)):
        task.train(model, optimizer, part)

    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, whole.state_dict()[name]), name


def test_dataset_and_tensors_train_the_same_model() -> None:
    from_tensors = trained(classification(), 20)
    from_dataset = trained(classification(train=TensorDataset(INPUTS, LABELS)), 20)

    for name, tensor in from_tensors.state_dict().items():
        assert torch.equal(tensor, from_dataset.state_dict()[name]), name


def test_losses_are_those_of_the_training_examples_in_order() -> None:
    task = classification()
    model = trained(task, 5).eval()

    with torch.no_grad():
        losses = torch.cat(list(task.losses(model)))
        expected = torch.stack(
            [
                functional.cross_entropy(model(INPUTS[i : i + 1]), LABELS[i : i + 1])
                for i in range(50)
            ]
        )

    torch.testing.assert_close(losses, expected)


def test_classification_metrics_agree_with_scikit_learn() -> None:
    task = classification(test=(INPUTS[:40], LABELS[:40]))
    model = trained(task).eval()

    figures = task.metrics(model)

    truth, guesses = LABELS[:40].numpy(), model(INPUTS[:40]).argmax(1).numpy()
    assert math.isclose(figures["accuracy"], sklearn_metrics.accuracy_score(truth, guesses))
    recall = sklearn_metrics.recall_score(truth, guesses, average="macro")
    assert math.isclose(figures["macro_recall"], recall)


def test_regression_metrics_agree_with_scikit_learn() -> None:
    task = regression(test=(INPUTS[:20], VALUES[:20]))
    model = trained(task, 3).eval()

    figures = task.metrics(model)

    guesses = model(INPUTS[:20]).detach().numpy()[:, 0]
    mse = sklearn_metrics.mean_squared_error(VALUES[:20].numpy(), guesses)
    assert math.isclose(figures["rmse"], math.sqrt(mse), rel_tol=1e-5)
    r2 = sklearn_metrics.r2_score(VALUES[:20].numpy(), guesses)
    assert math.isclose(figures["r2"], r2, rel_tol=1e-5)


def test_metrics_on_own_training_data_say_so() -> None:
    task = classification()

    assert task.metrics(trained(task, 1).eval()).keys() == {"train_accuracy", "train_macro_recall"}


def test_r_squared_of_a_constant_target_is_not_a_number() -> None:
    task = regression(test=(INPUTS, torch.ones(50)))

    assert math.isnan(task.metrics(trained(task, 1))["r2"])


def absolute_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs[:, 0] - targets).abs()


def test_loss_may_be_a_function_of_ones_own() -> None:
    task = regression()
    own = classification(build=lambda: nn.Linear(3, 1), train=(INPUTS, VALUES), loss=absolute_error)
    model = trained(own)

    (losses,) = [torch.cat(list(own.losses(model)))]

    assert torch.equal(losses, absolute_error(model(INPUTS), VALUES))
    assert own.metrics(model) == {
        "train_loss": pytest.approx(float(losses.detach().double().mean()))
    }
    assert task.metrics(model).keys() == {"train_rmse", "train_r2"}


def test_dense_predictions_average_over_their_positions() -> None:
    outputs, targets = torch.randn(2, 3, 4, 4), torch.randint(3, (2, 4, 4))

    losses = cross_entropy(outputs, targets)

    for index in range(2):
        expected = functional.cross_entropy(outputs[index : index + 1], targets[index : index + 1])
        torch.testing.assert_close(losses[index], expected)


def test_squared_error_refuses_shapes_that_would_broadcast() -> None:
    torch.testing.assert_close(squared_error(torch.ones(4, 1), torch.zeros(4)), torch.ones(4))
    with pytest.raises(TaskError, match="the targets have") as caught:
        squared_error(torch.ones(4, 3), torch.zeros(4))
    assert caught.value.hint


def test_mixed_precision_gives_losses_in_full_precision() -> None:
    task = classification(precision="bfloat16")
    model = trained(task, 20)

    assert {losses.dtype for losses in task.losses(model)} == {torch.float32}
    assert next(model.parameters()).dtype is torch.float32


def test_frozen_parameters_are_not_trained() -> None:
    def half_frozen() -> nn.Module:
        model = network()
        model.get_submodule("0").requires_grad_(requires_grad=False)
        return model

    task = classification(build=half_frozen)
    before, after = trained(task, 0), trained(task, 5)

    assert torch.equal(before.get_parameter("0.weight"), after.get_parameter("0.weight"))
    assert not torch.equal(before.get_parameter("3.weight"), after.get_parameter("3.weight"))


@pytest.mark.parametrize(
    ("changes", "complaint", "hint"),
    [
        ({"optimizer": "Adamw"}, "'Adamw' is unknown", "'AdamW'"),
        ({"optimizer": "LBFGS"}, "LBFGS", "Adam"),
        ({"optimizer_settings": {"learning_rate": 1}}, "learning_rate", "documentation"),
        ({"optimizer_settings": {"lr": -1.0}}, "-1", "documentation"),
        ({"loss": "crossentropy"}, "'crossentropy'", "'cross_entropy'"),
        ({"batch_size": 0}, "batch_size is 0", "64"),
    ],
)
def test_wrong_settings_are_refused_when_the_task_is_built(
    changes: Mapping[str, Any], complaint: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        classification(**changes)

    assert hint in caught.value.hint


def test_wrong_precision_is_refused_when_the_task_is_built() -> None:
    with pytest.raises(DeviceError, match="float8"):
        classification(precision="float8")


def test_optimizer_and_loss_may_come_from_any_module() -> None:
    task = classification(
        optimizer="torch.optim.adamw:AdamW",
        optimizer_settings={"lr": 0.01},
        loss="assistlearn.tasks.objectives:cross_entropy",
    )

    assert isinstance(task.build_optimizer(network()), torch.optim.AdamW)
    assert task.metrics(network()).keys() == {"train_loss"}


class Broken(Dataset[Any]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        raise OSError(f"image {index} is damaged")


def test_damaged_item_of_a_dataset_is_a_task_error() -> None:
    with pytest.raises(TaskError, match="image 0 is damaged"):
        local_loss(classification(train=Broken()), network())


def test_trainer_resumes_a_supervised_task_bit_for_bit(tmp_path: Path) -> None:
    def trainer(folder: str) -> Trainer:
        return Trainer(
            classification(optimizer="AdamW", optimizer_settings={"lr": 0.01}),
            store=CheckpointStore(tmp_path / folder / "spool"),
            snapshots=tmp_path / folder / "snapshots",
            spec=model_spec(network()),
            seed=4,
            noise_seed=bytes(16),
            clip=None,
            party="provider",
        )

    unbroken = trainer("a")
    start = unbroken.initial().digest
    assert trainer("b").initial().digest == start is not None
    digests = [
        [
            (unbroken if folder == "a" else trainer("b"))
            .train(round_=1, start=start, from_step=step, to_step=step + 5, first_update=step)
            .digest
            for step in (0, 5, 10)
        ]
        for folder in ("a", "b")
    ]

    assert digests[0] == digests[1]
    assert len(set(digests[0])) == 3
