"""A setting of the wrong form is named with its value and the form that it takes."""

from pathlib import Path

import numpy as np
import pytest

from assistlearn.errors import ConfigError
from assistlearn.tasks import load_task


@pytest.mark.parametrize(
    ("setting", "value", "form"),
    [
        ("std", 3.0, "a table that gives columns a number each"),
        ("fill", 3, "a table that gives columns a number each"),
        ("mean", {"a": "14"}, "a table that gives columns a number each"),
        ("mean", {"a": float("nan")}, "a table that gives columns a number each"),
        ("mean", [54.0, 27.1], "a table that gives columns a number each"),
        ("classes", 2, "a list of all classes"),
        ("classes", "01", "a list of all classes"),
        ("classes", [[0], [1]], "a list of all classes"),
        ("target", 3, "a name"),
        ("train", 3, "the path of a file"),
        ("test", ["a.csv"], "the path of a file"),
        ("features", "a", "a list of names of columns"),
        ("features", [0], "a list of names of columns"),
        ("task", 3, "a name"),
    ],
)
def test_a_setting_of_a_table_with_a_wrong_form_is_refused(tmp_path, setting, value, form):
    (tmp_path / "rows.csv").write_text("a,y\n1,0\n2,1\n")
    settings = {"train": str(tmp_path / "rows.csv"), "target": "y", setting: value}

    with pytest.raises(ConfigError) as caught:
        load_task("assistlearn.tasks:table", settings, device="cpu")

    assert str(caught.value) == f"{setting} is {value!r}, must be {form}"
    assert caught.value.hint.startswith(f"write it like {setting} = ")


@pytest.mark.parametrize(
    ("setting", "value", "form"),
    [
        ("train", 3, "the path of a file"),
        ("inputs", 3, "a name"),
        ("targets", ["y"], "a name"),
        ("classes", "3", "a whole number >= 1"),
        ("classes", True, "a whole number >= 1"),
        ("classes", 0, "a whole number >= 1"),
        ("mean", "0.5", "a number, or lists of numbers in the shape of an example"),
        ("std", {"a": 1.0}, "a number, or lists of numbers in the shape of an example"),
        ("std", [[1.0], 2.0], "a number, or lists of numbers in the shape of an example"),
    ],
)
def test_a_setting_of_arrays_with_a_wrong_form_is_refused(tmp_path, setting, value, form):
    path: Path = tmp_path / "rows.npz"
    np.savez(path, inputs=np.ones((2, 1)), targets=np.array([0, 1]))
    settings = {"train": str(path), setting: value}

    with pytest.raises(ConfigError) as caught:
        load_task("assistlearn.tasks:arrays", settings, device="cpu")

    assert str(caught.value) == f"{setting} is {value!r}, must be {form}"
