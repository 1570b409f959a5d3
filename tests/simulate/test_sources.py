"""Source files of a task are found as an import would find them, and none is run."""

import pytest
from simulating import small_settings

from assistlearn.digests import digest
from parties.simulate.sources import source_digests

NEVER = "raise RuntimeError('a source was run')\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "reference"),
    [
        ("lone_task.py", "lone_task:make"),
        ("packed_task/__init__.py", "packed_task:make"),
        ("packed_task/deep/task.py", "packed_task.deep.task:make"),
        ("packed_task/deep/__init__.py", "packed_task.deep:make"),
    ],
)
@pytest.mark.parametrize("marked", [True, False], ids=["package", "namespace"])
def test_a_change_of_the_file_changes_the_digest_and_nothing_is_run(
    folder, file, reference, marked
):
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    for above in path.relative_to(folder).parents[:-1] if marked else ():
        (folder / above / "__init__.py").write_text(NEVER)
    path.write_text(NEVER)
    before = source_digests([reference])

    path.write_text(NEVER + "# changed\n")

    assert before == {reference: digest(NEVER.encode())}
    assert source_digests([reference]) == {reference: digest(path.read_bytes())}


def test_an_installed_module_wins_over_a_file_here(folder):
    (folder / "pydantic.py").write_text(NEVER)

    found = source_digests(["pydantic:BaseModel"])

    assert found["pydantic:BaseModel"] != digest(NEVER.encode())


@pytest.mark.parametrize("reference", ["no_such_task:make", "json.nowhere:make", "sys:exit"])
def test_what_has_no_file_has_an_empty_digest(folder, reference):
    assert source_digests([reference]) == {reference: ""}


def test_what_the_settings_refer_to_however_deep_counts_too():
    settings = small_settings(model="own_models:make", model_settings={"losses": ["own_loss:nll"]})

    references = settings.task.references()

    assert references == ("assistlearn.tasks:digits", "own_models:make", "own_loss:nll")
