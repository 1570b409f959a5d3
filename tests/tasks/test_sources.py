"""The factories that settings files name: digits, images, tables, arrays."""

import datetime as dt
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import csv, parquet
from torch import nn
from torchvision import datasets

from assistlearn.errors import AssistLearnError, ConfigError, DataError, DataWarning
from assistlearn.tasks import (
    Share,
    SupervisedTask,
    arrays,
    digits,
    image_folder,
    table,
    torchvision_images,
)

pytestmark = pytest.mark.filterwarnings("ignore::assistlearn.errors.DataWarning")


def inputs_of(task: SupervisedTask) -> torch.Tensor:
    return torch.cat([inputs for inputs, _ in task._train.in_order(7)])


def targets_of(task: SupervisedTask) -> torch.Tensor:
    return torch.cat([targets for _, targets in task._train.in_order(7)])


def outputs_of(task: SupervisedTask) -> int:
    return int(task.build_model().eval()(inputs_of(task)[:2]).shape[1])


# Digits


def test_digits_are_learned_in_a_few_epochs() -> None:
    task = digits(device="cpu")
    torch.manual_seed(0)
    model = task.build_model()

    task.train(model, task.build_optimizer(model), range(5 * task.updates_per_epoch))

    assert task.examples == 1437
    assert task.metrics(model)["accuracy"] > 0.93


def test_digits_test_set_does_not_depend_on_seed_or_share() -> None:
    model = digits(device="cpu").build_model()
    shares = [None, Share(party="learner", seed=1), Share(party="provider", seed=2)]

    figures = [
        digits(device="cpu", seed=n, share=share).metrics(model) for n, share in enumerate(shares)
    ]

    assert figures[0] == figures[1] == figures[2]


def test_digits_learner_without_balance_has_one_class() -> None:
    learner = digits(device="cpu", share=Share(party="learner"))

    assert len(targets_of(learner).unique()) == 1
    assert outputs_of(learner) == 10


def test_settings_reach_model_and_optimizer() -> None:
    task = digits(
        device="cpu",
        model="small_cnn",
        model_settings={"width": 3},
        optimizer="AdamW",
        optimizer_settings={"lr": 0.25},
        batch_size=100,
        loss=None,
        threads=0,
    )

    optimizer = task.build_optimizer(task.build_model())

    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert task.updates_per_epoch == 15


@pytest.mark.parametrize(
    ("settings", "complaint", "hint"),
    [
        ({"optimiser": "SGD"}, "digits has no setting 'optimiser'", "'optimizer'"),
        ({"batch_size": "64"}, "batch_size is '64'", "without quotes"),
        ({"batch_size": 0}, "batch_size is 0", "batch_size"),
        ({"threads": -1}, "threads is -1", "threads"),
        ({"optimizer_settings": 0.1}, "optimizer_settings is 0.1", "lr = 0.1"),
        ({"model": "mpl"}, "'mpl'", "'mlp'"),
        ({"loss": "mse"}, "loss 'mse' cannot be used for a classification", "'cross_entropy'"),
    ],
)
def test_wrong_recipe_is_refused_with_a_hint(
    settings: dict[str, Any], complaint: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        digits(**settings)

    assert hint in caught.value.hint


# torchvision's data sets


def tiny_fashion_mnist(folder: Path) -> None:
    """A data set of torchvision's own format, small enough for a test."""
    rng = np.random.default_rng(0)
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for stem, count in (("train", 40), ("t10k", 20)):
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        images = np.array([0x803, count, 28, 28], ">i4").tobytes() + pixels.tobytes()
        (raw / f"{stem}-images-idx3-ubyte").write_bytes(images)
        text = np.array([0x801, count], ">i4").tobytes() + labels.tobytes()
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes(text)
    assert len(datasets.FashionMNIST(folder)) == 40


def test_torchvision_images_are_scaled_split_and_typed(tmp_path: Path) -> None:
    tiny_fashion_mnist(tmp_path)

    def task(share: Share | None) -> SupervisedTask:
        return torchvision_images(
            name="FashionMNIST", root=tmp_path, model="small_cnn", device="cpu", share=share
        )

    whole, provider = task(None), task(Share(party="provider"))

    assert inputs_of(whole).shape == (40, 1, 28, 28)
    assert float(inputs_of(whole).min()) == -1.0
    assert float(inputs_of(whole).max()) == 1.0
    assert targets_of(provider).bincount().tolist() == [2] * 10
    assert provider.schema == whole.schema
    assert whole.schema.splitlines()[2:] == [
        "inputs [1,28,28]",
        "classes 10",
        'name "FashionMNIST"',
    ]
    assert whole.metrics(whole.build_model().eval()).keys() == {"accuracy", "macro_recall"}


@pytest.mark.parametrize("name", ["CIFAR10", "SVHN", "MNIST"])
def test_missing_images_say_where_they_were_looked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name} is not in {tmp_path}") as caught:
        torchvision_images(name=name, root=tmp_path)

    assert "beforehand" in caught.value.hint
    assert "assistlearn simulate" in caught.value.hint


def test_download_without_network_is_a_data_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/nobody-listens-here.tar.gz")

    with pytest.raises(DataError, match="cannot fetch CIFAR10") as caught:
        torchvision_images(name="CIFAR10", root=tmp_path, download=True)

    assert caught.value.hint.startswith("check the network")
    assert "beforehand" in caught.value.hint


def test_unknown_image_data_set_is_refused() -> None:
    with pytest.raises(ConfigError, match="'cifar10'") as caught:
        torchvision_images(name="cifar10")

    assert "'CIFAR10'" in caught.value.hint


def painted(folder: Path, classes: dict[str, int]) -> Path:
    for brightness, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            colour = (100 * brightness, 20, 30)
            Image.new("RGB", (20, 12), colour).save(folder / name / f"{index}.png")
    return folder


def test_image_folder_reads_resizes_and_labels(tmp_path: Path) -> None:
    folder = painted(tmp_path / "train", {"cat": 3, "dog": 2})

    task = image_folder(
        train=folder, test=folder, size=8, model="small_cnn", device="cpu", batch_size=2
    )

    assert inputs_of(task).shape == (5, 3, 8, 8)
    assert targets_of(task).tolist() == [0, 0, 0, 1, 1]
    dog = inputs_of(task)[4]
    torch.testing.assert_close(dog[0], torch.full((8, 8), 100 / 127.5 - 1))
    assert task.metrics(task.build_model().eval()).keys() == {"accuracy", "macro_recall"}


def test_image_folder_of_a_party_that_lacks_a_class_keeps_the_agreed_numbers(
    tmp_path: Path,
) -> None:
    folder = painted(tmp_path, {"dog": 2})

    task = image_folder(
        train=folder, size=8, classes=["cat", "dog", "owl"], model="linear", device="cpu"
    )

    assert targets_of(task).tolist() == [1, 1]
    assert outputs_of(task) == 3


def test_image_folder_can_be_split(tmp_path: Path) -> None:
    folder = painted(tmp_path, {"cat": 4, "dog": 6})

    task = image_folder(
        train=folder, size=8, model="linear", device="cpu", share=Share(party="provider")
    )

    assert targets_of(task).tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("classes", "images", "complaint"),
    [
        (None, None, "there is no folder"),
        (["cat"], {"dog": 1}, "'dog' that is no class"),
        (None, {"cat": 0}, "there are no images"),
    ],
)
def test_unusable_image_folder_is_refused_with_a_hint(
    tmp_path: Path, classes: list[str] | None, images: dict[str, int] | None, complaint: str
) -> None:
    folder = tmp_path / "images"
    if images is not None:
        painted(folder, images)

    with pytest.raises(DataError, match=complaint) as caught:
        image_folder(train=folder, classes=classes, size=8, model="linear")

    assert caught.value.hint


# Tables


ROWS: dict[str, list[Any]] = {
    "age": [50.0, 60.0, 70.0, 80.0],
    "smoker": [True, False, True, False],
    "outcome": ["well", "ill", "well", "well"],
}


def written(folder: Path, rows: dict[str, list[Any]], *, name: str = "rows.parquet") -> Path:
    path = folder / name
    (parquet.write_table if name.endswith("parquet") else csv.write_csv)(pa.table(rows), path)
    return path


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_table_gives_scaled_features_and_numbered_classes(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, ROWS, name=name)

    task = table(
        train=path, test=path, target="outcome", mean={"age": 60}, std={"age": 10}, device="cpu"
    )

    assert inputs_of(task).tolist() == [[-1, 1], [0, 0], [1, 1], [2, 0]]
    assert targets_of(task).tolist() == [1, 0, 1, 1]
    assert outputs_of(task) == 2


def test_table_classes_and_features_follow_the_settings(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS)

    task = table(
        train=path,
        target="outcome",
        features=["smoker", "age"],
        classes=["well", "ill", "dead"],
        device="cpu",
    )

    assert inputs_of(task)[0].tolist() == [1, 50]
    assert targets_of(task).tolist() == [0, 1, 0, 0]
    assert outputs_of(task) == 3


def test_table_fills_gaps_before_scaling(tmp_path: Path) -> None:
    rows = {"age": [50, None], "outcome": [1, 0]}

    task = table(
        train=written(tmp_path, rows),
        target="outcome",
        fill={"age": 70},
        mean={"age": 60},
        classes=[0, 1],
        device="cpu",
    )

    assert inputs_of(task).tolist() == [[-10], [10]]


def test_regression_table_is_split_by_quantiles_and_scales_its_target(tmp_path: Path) -> None:
    rows: dict[str, list[Any]] = {"x": list(range(40)), "y": [float(value) for value in range(40)]}

    task = table(
        train=written(tmp_path, rows),
        target="y",
        task="regression",
        std={"y": 2},
        model="linear",
        device="cpu",
        share=Share(party="provider"),
    )

    assert task.examples == 20
    assert torch.equal(targets_of(task), inputs_of(task)[:, 0] / 2)
    assert task.metrics(task.build_model()).keys() == {"train_rmse", "train_r2"}


def test_shares_of_a_table_agree_on_the_model(tmp_path: Path) -> None:
    rows = {"x": list(range(20)), "y": ["a", "b"] * 10}
    path = written(tmp_path, rows)

    tasks = [
        table(train=path, target="y", share=Share(party=party), device="cpu")
        for party in ("learner", "provider")
    ]

    assert [task.examples for task in tasks] == [5, 10]
    assert [outputs_of(task) for task in tasks] == [2, 2]


TableCase = tuple[Callable[[Path], dict[str, Any]], type[AssistLearnError], str, str]
TABLE_CASES: dict[str, TableCase] = {
    "missing file": (lambda p: {"train": p / "no.csv"}, DataError, "there is no file", "path"),
    "unknown suffix": (lambda p: {"train": p / "a.xlsx"}, DataError, "cannot read", ".parquet"),
    "no target": (lambda _: {"target": "outcom"}, DataError, "no column 'outcom'", "'outcome'"),
    "no feature": (lambda _: {"features": ["ages"]}, DataError, "no column 'ages'", "'age'"),
    "text": (
        lambda p: {"train": written(p, {"sex": ["f"], "outcome": ["ill"]}, name="t.csv")},
        DataError,
        "column 'sex' .* holds 'f'",
        "encode",
    ),
    "date": (
        lambda p: {
            "train": written(
                p, {"day": [dt.date(2020, 1, 1)], "outcome": ["ill"]}, name="d.parquet"
            )
        },
        DataError,
        "column 'day'",
        "encode",
    ),
    "gap": (
        lambda p: {"train": written(p, {"age": [1, None], "outcome": ["a", "b"]}, name="g.csv")},
        DataError,
        "no value in 1 of 2 rows",
        "fill = { age",
    ),
    "gap in the target": (
        lambda p: {"train": written(p, {"age": [1, 2], "outcome": [1, None]}, name="h.parquet")},
        DataError,
        "'outcome' .* no value in 1 rows",
        "drop",
    ),
    "text gap in the target": (
        lambda p: {"train": written(p, {"age": [1, 2], "outcome": ["a", None]}, name="i.parquet")},
        DataError,
        "no value in 1 rows",
        "drop",
    ),
    "infinite": (
        lambda p: {"train": written(p, {"age": [math.inf], "outcome": ["a"]}, name="j.parquet")},
        DataError,
        "infinite",
        "remove",
    ),
    "no rows": (
        lambda p: {"train": written(p, {"age": [], "outcome": []}, name="e.parquet")},
        DataError,
        "no rows",
        "at least one row",
    ),
    "other class": (lambda _: {"classes": ["well"]}, DataError, "'ill', which is no class", "add"),
    "other scale": (lambda _: {"mean": {"agee": 1}}, ConfigError, "'agee'", "'age'"),
    "no deviation": (lambda _: {"std": {"age": 0}}, ConfigError, "std of column 'age'", "leave"),
    "other kind": (lambda _: {"task": "regresion"}, ConfigError, "'regresion'", "'regression'"),
    "other setting": (lambda _: {"feature": ["age"]}, ConfigError, "'feature'", "'features'"),
    "loss of values": (lambda _: {"loss": "mse"}, ConfigError, "'mse'", "'cross_entropy'"),
    "loss of classes": (
        lambda _: {
            "loss": "cross_entropy",
            "task": "regression",
            "features": ["smoker"],
            "target": "age",
        },
        ConfigError,
        "'cross_entropy' cannot be used for a regression",
        "'mse'",
    ),
    "text as value": (lambda _: {"task": "regression"}, DataError, "holds 'well'", "encode"),
}


@pytest.mark.parametrize("case", TABLE_CASES)
def test_unusable_table_or_setting_is_refused_with_a_hint(tmp_path: Path, case: str) -> None:
    settings, error, complaint, hint = TABLE_CASES[case]
    given = {"train": written(tmp_path, ROWS), "target": "outcome", "device": "cpu"}

    with pytest.raises(error, match=complaint) as caught:
        table(**(given | settings(tmp_path)))

    assert hint in caught.value.hint


def test_damaged_or_ambiguous_table_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match="cannot read"):
        table(train=tmp_path / "bad.parquet", target="y")
    (tmp_path / "twice.csv").write_text("x,x,y\n1,2,3\n")
    with pytest.raises(DataError, match="two columns 'x'"):
        table(train=tmp_path / "twice.csv", target="y")


def refused(path: Path, text: str, **settings: Any) -> DataError:
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        table(train=path, target="y", device="cpu", **settings)
    return caught.value


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("n.a.", "'n.a.' in row 2"),
        ("-", "'-' in row 2"),
        ("x" * 20, f"'{'x' * 20}' in row 2"),
        ("x" * 21, "a value of 21 characters in row 2"),
    ],
)
def test_cell_that_is_no_number_is_named_and_no_other(
    tmp_path: Path, cell: str, shown: str
) -> None:
    error = refused(tmp_path / "a.csv", f"x,y\n-0.28893,a\n{cell},b\n0.5,a\n")

    assert str(error) == f"column 'x' of {tmp_path / 'a.csv'} holds {shown}, which is no number"


def test_gaps_are_not_taken_for_the_cell_that_is_no_number(tmp_path: Path) -> None:
    error = refused(tmp_path / "a.csv", "x,y\nNA,a\n,b\n1,a\n?,b\n")

    assert "holds '?' in row 4" in str(error)


def test_nothing_but_gaps_that_are_texts_names_the_first(tmp_path: Path) -> None:
    path = written(tmp_path, {"x": ["1", "", ""], "y": [0, 1, 0]})

    with pytest.raises(DataError, match="holds '' in row 2"):
        table(train=path, target="y")


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_times_are_no_numbers_whatever_their_unit(tmp_path: Path, unit: str) -> None:
    times = np.array(["2020-01-02", "2021-01-02"], f"datetime64[{unit}]")
    path = tmp_path / "times.parquet"
    parquet.write_table(pa.table({"x": times, "y": [0, 1]}), path)

    with pytest.raises(DataError, match=r"column 'x' .* in row 1, which is no number"):
        table(train=path, target="y")


@pytest.mark.parametrize(("row", "got"), [("987654,3", 2), ("987654,3,a,b", 4)])
def test_row_of_another_length_is_numbered_but_not_shown(
    tmp_path: Path, row: str, got: int
) -> None:
    path = tmp_path / "a.csv"

    error = refused(path, f"x,z,y\n1,2,a\n\n{row}\n1,2,b\n{row}\n")

    assert str(error) == f"expected 3 columns, got {got} in row 2 of {path}"
    assert error.hint.startswith("mend this row")
    assert error.__cause__ is error.__context__ is None  # pyarrow's own error shows the row


@pytest.mark.parametrize(
    ("text", "encoding", "what"),
    [
        ("gr\u00f6\u00dfe,y\n1,a\n", "latin-1", "the header"),
        ("x,y\n1,gro\u00df\n", "latin-1", "column 'y'"),
        ("x,y\n1,a\n", "utf-16", "the header"),
    ],
)
def test_csv_in_another_encoding_is_refused_with_what_to_do(
    tmp_path: Path, text: str, encoding: str, what: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode(encoding))

    with pytest.raises(DataError, match=rf"{what} of .* not UTF-8") as caught:
        table(train=path, target="y")
    assert "UTF-8" in caught.value.hint


def test_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "A.CSV"
    path.write_text("x,y\n1,a\n2,b\n")

    assert outputs_of(table(train=path, target="y")) == 2


def test_process_that_read_a_csv_ends_as_it_was_told(tmp_path: Path) -> None:
    """A Python handler on pyarrow's threads aborted every second process at its end."""
    path = tmp_path / "a.csv"
    path.write_text("x,y\n" + "1,a\n" * 300)
    program = (
        "import torch\nfrom pathlib import Path\nfrom assistlearn.tasks.columns import read_table\n"
        f"read_table(Path({str(path)!r}))\nraise SystemExit(12)"
    )

    codes = {
        subprocess.run([sys.executable, "-c", program], check=False).returncode for _ in range(4)
    }

    assert codes == {12}


def test_csv_that_cannot_be_parsed_at_all_is_a_data_error(tmp_path: Path) -> None:
    assert "cannot read" in str(refused(tmp_path / "a.csv", ""))


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("x;y\n1;a\n", "';'"),
        ("x;y\n1,5;a\n", "';'"),
        ("\nx;y\n1;a\n", "';'"),
        ("x\ty\n1\ta\n", "tabs"),
    ],
)
def test_csv_with_another_separator_says_which(tmp_path: Path, text: str, separator: str) -> None:
    error = refused(tmp_path / "a.csv", text)

    assert f"seems to be separated by {separator}" in str(error)
    assert error.hint.startswith("save it with commas")


# Arrays


def saved(folder: Path, **content: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **content)
    return path


def test_arrays_give_scaled_inputs_of_any_shape(tmp_path: Path) -> None:
    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    path = saved(tmp_path, inputs=images, targets=np.array([0, 2], dtype=np.uint8))

    task = arrays(train=path, test=path, mean=[[[10]], [[20]], [[30]]], std=2.0, device="cpu")

    expected = (torch.from_numpy(images).float() - torch.tensor([10.0, 20, 30]).view(3, 1, 1)) / 2
    assert torch.equal(inputs_of(task), expected)
    assert targets_of(task).tolist() == [0, 2]
    assert outputs_of(task) == 3


def test_arrays_of_a_party_that_lacks_a_class_use_the_agreed_number(tmp_path: Path) -> None:
    path = saved(tmp_path, x=np.ones((3, 2)), y=np.array([0, 1, 0]))

    task = arrays(train=path, inputs="x", targets="y", classes=5, device="cpu")

    assert outputs_of(task) == 5


def test_arrays_may_have_several_target_values(tmp_path: Path) -> None:
    path = saved(tmp_path, inputs=np.ones((6, 2)), targets=np.ones((6, 3)))

    task = arrays(
        train=path, task="regression", model="linear", device="cpu", share=Share(party="provider")
    )

    assert outputs_of(task) == 3
    assert task.examples == 3
    assert isinstance(task.build_model(), nn.Module)


@pytest.mark.parametrize(
    ("content", "settings", "complaint"),
    [
        ({"inputs": np.ones((2, 2))}, {}, "no array 'targets'"),
        ({"inputs": np.ones((2, 2)), "targets": np.ones(3, int)}, {}, "2 inputs with 3 targets"),
        ({"inputs": np.array([[np.nan]]), "targets": np.array([0])}, {}, "not finite"),
        (
            {"inputs": np.ones((1, 1)), "targets": np.array([np.inf])},
            {"task": "regression"},
            "not finite",
        ),
        ({"inputs": np.ones((1, 1)), "targets": np.array([4])}, {"classes": 3}, "4, which is no"),
        ({"inputs": np.ones((1, 1)), "targets": np.array(["a"])}, {}, "no numbers"),
        ({"inputs": np.ones((0, 2)), "targets": np.ones(0, int)}, {}, "labels is empty"),
        ({"inputs": np.array([{}]), "targets": np.array([0])}, {}, "cannot read"),
        ({"inputs": np.array(["a"]), "targets": np.array([0])}, {}, "no number"),
    ],
)
def test_unusable_arrays_are_refused_with_a_hint(
    tmp_path: Path, content: dict[str, Any], settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint) as caught:
        arrays(train=saved(tmp_path, **content), device="cpu", **settings)

    assert caught.value.hint


@pytest.mark.parametrize("std", [0, 0.0, -2.0, 1e-60, float("nan"), [1.0, 0.0]])
def test_deviations_of_arrays_that_cannot_divide_are_refused(tmp_path: Path, std: Any) -> None:
    path = saved(tmp_path, inputs=np.ones((2, 2)), targets=np.array([0, 1]))

    with pytest.raises(ConfigError, match="must be > 0") as caught:
        arrays(train=path, std=std, device="cpu")

    assert caught.value.hint.startswith("give 1.0")


def test_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"not a zip file")
    for name in ("bad.npz", "absent.npz", "data.npy"):
        with pytest.raises(DataError) as caught:
            arrays(train=tmp_path / name)
        assert caught.value.hint


@pytest.mark.filterwarnings("error")
def test_columns_that_nobody_scaled_are_warned_of(tmp_path: Path) -> None:
    rows = {"na": [138.0, 142.0, 140.0, 139.0], "crea": [0.9, 1.1, 1.0, 0.8], "y": [0, 1, 0, 1]}
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table(rows), path)
    settings: dict[str, Any] = {"train": path, "target": "y", "device": "cpu", "model": "linear"}

    with pytest.warns(DataWarning, match="'na' has mean 139.8 and deviation 1.479 .1 of 2"):
        table(**settings)
    table(**settings, mean={"na": 140.0})  # no warning, which would be an error here


@pytest.mark.filterwarnings("error")
def test_arrays_that_nobody_scaled_are_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    np.savez(path, inputs=np.full((4, 1, 3, 3), 200.0, np.float32), targets=np.array([0, 1, 0, 1]))
    settings: dict[str, Any] = {"train": path, "device": "cpu", "model": "linear"}

    with pytest.warns(DataWarning, match="'inputs' has mean 200"):
        arrays(**settings)
    arrays(**settings, std=255.0)
