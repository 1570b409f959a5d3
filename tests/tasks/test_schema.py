"""What two parties compare of their data and loss."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from torch import Tensor, nn

from assistlearn.tasks import Share, SupervisedTask, arrays, digits, image_folder, table
from assistlearn.tasks.objectives import cross_entropy
from assistlearn.tasks.schema import schema

pytestmark = pytest.mark.filterwarnings("ignore::assistlearn.errors.DataWarning")


ROWS: dict[str, list[Any]] = {
    "age": [50.0, 60.0, 70.0, 80.0] * 3,
    "smoker": [1, 0, 1, 0] * 3,
    "outcome": ["well", "ill", "well", "well"] * 3,
}


def of_table(folder: Path, rows: dict[str, list[Any]] = ROWS, **settings: Any) -> str:
    path = folder / "rows.parquet"
    parquet.write_table(pa.table(rows), path)
    given = {"train": path, "target": "outcome", "device": "cpu", "model": "linear"}
    return table(**(given | settings)).schema


def test_table_says_what_both_sides_must_have_alike(tmp_path: Path) -> None:
    found = of_table(tmp_path, mean={"smoker": 0.5, "age": 60}, fill={"age": 55.5})

    assert found.splitlines() == [
        "loss cross_entropy",
        'task "classification"',
        "inputs [2]",
        'classes ["ill","well"]',
        'features ["age","smoker"]',
        'target "outcome"',
        'mean {"age":60,"smoker":0.5}',
        "std null",
        'fill {"age":55.5}',
    ]


@pytest.mark.parametrize(
    "rows",
    [
        {name: ROWS[name] for name in reversed(ROWS)},
        {("Age" if name == "age" else name): ROWS[name] for name in ROWS},
        ROWS | {"outcome": ["Well" if each == "well" else each for each in ROWS["outcome"]]},
        ROWS | {"outcome": ["alive" if each == "well" else each for each in ROWS["outcome"]]},
    ],
    ids=["reversed", "renamed", "other case of a label", "labels that sort differently"],
)
def test_tables_that_differ_in_meaning_have_different_schemas(
    tmp_path: Path, rows: dict[str, list[Any]]
) -> None:
    assert of_table(tmp_path, rows) != of_table(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {"features": ["smoker", "age"]},
        {"classes": ["well", "ill"]},
        {"classes": ["ill", "well", "dead"]},
        {"mean": {"age": 60}},
        {"std": {"age": 10}},
        {"fill": {"age": 60}},
        {"loss": "assistlearn.tasks.objectives:cross_entropy"},
        {"task": "regression", "target": "age", "features": ["smoker"]},
    ],
)
def test_settings_that_change_the_meaning_change_the_schema(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    assert of_table(tmp_path, **settings) != of_table(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"share": Share(party="learner", seed=3)},
        {"share": Share(party="provider", seed=3)},
        {"features": ["age", "smoker"], "classes": ["ill", "well"], "mean": {}},
        {"loss": "cross_entropy"},
        {"model": "mlp", "batch_size": 2, "seed": 9, "optimizer_settings": {"lr": 0.1}},
    ],
)
def test_same_meaning_gives_the_same_schema(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert of_table(tmp_path, **settings) == of_table(tmp_path)


def test_equal_numbers_are_written_alike(tmp_path: Path) -> None:
    cases: list[tuple[list[Any], Any]] = [
        ([0, 1], 60),
        ([0.0, 1.0], 60.0),
        ([False, True], np.float64(60)),
    ]

    found = {
        of_table(tmp_path, ROWS | {"outcome": labels * 6}, mean={"age": mean})
        for labels, mean in cases
    }

    assert len(found) == 1


def absolute_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs[:, 0] - targets).abs()


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "loss cross_entropy"),
        ({"task": "regression", "target": "age", "features": ["smoker"]}, "loss mse"),
        (
            {"loss": "assistlearn.tasks.objectives:cross_entropy"},
            "loss assistlearn.tasks.objectives:cross_entropy",
        ),
        ({"loss": cross_entropy}, 'task "classification"'),
    ],
)
def test_first_line_is_the_loss_that_is_trained_on_where_it_has_a_name(
    tmp_path: Path, settings: dict[str, Any], line: str
) -> None:
    assert of_table(tmp_path, **settings).splitlines()[0] == line


def test_digits_arrays_and_images_have_schemas_of_their_own(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", inputs=np.ones((4, 2)), targets=np.array([0, 1, 2, 0]))
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name / "0.png")

    tasks: list[SupervisedTask] = [
        digits(device="cpu"),
        arrays(train=tmp_path / "a.npz", mean=[1, 2.5], device="cpu"),
        image_folder(train=tmp_path / "images", size=8, model="linear", device="cpu"),
    ]

    assert [task.schema.splitlines()[1:] for task in tasks] == [
        ['task "classification"', "inputs [1,8,8]", "classes 10"],
        ['task "classification"', "inputs [2]", "classes 3", "mean [1,2.5]", "std 1"],
        ['task "classification"', "inputs [3,8,8]", 'classes ["cat","dog"]', "size 8"],
    ]


def test_shares_of_digits_have_the_same_schema() -> None:
    found = {digits(device="cpu", share=Share(party=p)).schema for p in ("learner", "provider")}

    assert len(found) == 1


def test_schema_of_long_lists_is_short_and_tells_them_apart() -> None:
    names = [f"column {n}" for n in range(20_000)]
    lists = [names, names[::-1]]

    found = [schema("mse", dict.fromkeys("abcdefghi", each)) for each in lists]

    assert found[0] != found[1]
    assert max(map(len, found)) < 60_000
    assert found[0].splitlines()[1].startswith("a sha256:")


def test_schema_is_ascii_and_a_name_cannot_forge_a_line() -> None:
    found = schema(None, {"features": ["größe", "a\nloss mse"], "target": b"\xff"})

    assert found.isascii()
    assert len(found.splitlines()) == 2


def test_task_of_your_own_keeps_the_schema_it_is_given() -> None:
    def task(**given: str) -> SupervisedTask:
        data = (torch.ones(2, 3), torch.ones(2))
        return SupervisedTask(build=lambda: nn.Linear(3, 1), train=data, loss="mse", **given)

    assert task(schema="loss mse").schema == "loss mse"
    assert task().schema == ""
