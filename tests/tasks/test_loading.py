import sys
from pathlib import Path

import pytest

from assistlearn.errors import AssistLearnError, ConfigError, DataError, TaskError
from assistlearn.tasks import Share, SupervisedTask, digits, load_task
from assistlearn.tasks.references import did_you_mean

MODULE = """
from assistlearn.errors import DataError
from assistlearn.tasks import digits

NUMBER = 7


def make(*, width: int, batch_size: int = 10):
    return digits(model_settings={"hidden": [width]}, batch_size=batch_size, device="cpu")


def make_any(**settings):
    return digits(**settings)


def raising():
    return [][3]


def complaining():
    raise DataError("no data here", hint="get some")


class Half:
    def build_model(self): ...
    def losses(self, model): ...
    metrics = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current directory, which is not on the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    monkeypatch.delitem(sys.modules, "my_tasks", raising=False)
    Path("my_tasks.py").write_text(MODULE)
    Path("broken_tasks.py").write_text("1 / 0\n")
    Path("needing_tasks.py").write_text("import a_package_nobody_has\n")
    return "my_tasks"


def test_task_is_built_from_a_module_in_the_current_directory(module: str) -> None:
    task = load_task(f"{module}:make", {"width": 5})

    assert isinstance(task, SupervisedTask)
    assert task.build_model().get_parameter("1.weight").shape == (5, 64)


def test_factories_of_this_package_can_be_named() -> None:
    share = Share(party="provider")

    task = load_task("assistlearn.tasks:digits", {"batch_size": 20}, device="cpu", share=share)

    assert isinstance(task, SupervisedTask)
    assert task.examples == digits(share=share, device="cpu").examples


def test_what_the_program_provides_is_left_out_where_a_factory_does_not_take_it(
    module: str,
) -> None:
    assert load_task(f"{module}:make", {"width": 5}, device="cpu", seed=3, share=None)
    everything = load_task(f"{module}:make_any", {}, device="cpu", batch_size=1)
    assert isinstance(everything, SupervisedTask)
    assert everything.updates_per_epoch == everything.examples


CASES: list[tuple[str, dict[str, object], type[AssistLearnError], str, str]] = [
    ("my_tasks", {}, ConfigError, "not of the form", "my_package"),
    ("my_tasks:", {}, ConfigError, "not of the form", "my_package"),
    (":make", {}, ConfigError, "not of the form", "my_package"),
    ("no_such_module:make", {}, ConfigError, "no module 'no_such_module'", "run the command in"),
    ("needing_tasks:make", {}, ConfigError, "'a_package_nobody_has'", "which needing_tasks needs"),
    ("broken_tasks:make", {}, TaskError, "raised ZeroDivisionError", "python -c"),
    ("my_tasks:mak", {}, ConfigError, "has no 'mak'", "'make'"),
    ("my_tasks:NUMBER", {}, ConfigError, "is a int", "function"),
    ("my_tasks:make", {}, ConfigError, "needs the setting 'width'", "add width"),
    ("my_tasks:make", {"width": 5, "batchsize": 3}, ConfigError, "'batchsize'", "'batch_size'"),
    ("my_tasks:raising", {"width": 1}, ConfigError, "no setting 'width'", "there are none"),
    ("my_tasks:make", {"width": 5, "seed": 3}, ConfigError, "'seed'", "remove"),
    ("my_tasks:raising", {}, TaskError, r"raising\(\) raised IndexError", "my_tasks.py, line"),
    ("my_tasks:complaining", {}, DataError, "no data here", "get some"),
    ("my_tasks:Half", {}, TaskError, "build_optimizer, train, metrics", "five methods"),
    ("my_tasks:make_any", {"batchsize": 3}, ConfigError, "'batchsize'", "'batch_size'"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[3]}")
@pytest.mark.usefixtures("module")
def test_factory_that_gives_no_task_is_refused_with_a_hint(
    case: tuple[str, dict[str, object], type[AssistLearnError], str, str],
) -> None:
    factory, settings, error, complaint, hint = case

    with pytest.raises(error, match=complaint) as caught:
        load_task(factory, settings, seed=1)

    assert hint in caught.value.hint


def test_factory_that_cannot_split_is_refused_in_a_study(module: str) -> None:
    with pytest.raises(ConfigError, match="cannot split") as caught:
        load_task(f"{module}:make", {"width": 5}, share=Share(party="learner"))

    assert "share_indices" in caught.value.hint


def test_suggestion_ignores_case_and_lists_all_names_when_none_is_close() -> None:
    assert did_you_mean("sgd", ["SGD", "Adam"]) == "did you mean 'SGD'?"
    assert did_you_mean("zzz", ["b", "a"]) == "choose one of ['a', 'b']"
