"""Saved rejectors written to harm are refused at once; saving harms no other file."""

import os
import resource
import signal
import stat

import numpy as np
import pytest

from assistlearn.deferral.rejector_card import RejectorCard
from assistlearn.deferral.rejectors import (
    ConfidenceThreshold,
    FixedAgent,
    RandomRejector,
    Rejector,
    TableRejector,
)
from assistlearn.deferral.saving import LARGEST_CARD_BYTES, load, load_card, save
from assistlearn.deferral.surrogates import surrogate_names
from assistlearn.digests import digest
from assistlearn.errors import ConfigError, DataError, StorageError

MIB = LARGEST_CARD_BYTES - 200


def data():
    generator = np.random.default_rng(0)
    return generator.normal(size=(40, 3)), generator.random((40, 2))


def sealed(body: str) -> bytes:
    """A body with a right seal over it."""
    return f'seal = "{digest(body.encode())}"\n{body}'.encode()


def resealed(card, old, new):
    """Write another card in the place of one, with a right seal."""
    text = card.read_text(encoding="utf-8").partition("\n")[2]
    assert old in text
    card.write_bytes(sealed(text.replace(old, new, 1)))


@pytest.mark.parametrize(
    "body",
    [
        'kind = "' + '\\"' * (MIB // 2),
        'kind = "' + "\\" * MIB,
        '"' * MIB,
        '"\n' * (MIB // 2),
        "x = {b = '\"', " + "a." * (MIB // 2) + 'a = 1} # "\n',
        "'\"'." + "a." * (MIB // 2) + 'a = 1 # "\n',
        'x = {b = """"""", ' + "a." * (MIB // 2) + "a = 1}\n",
        'x = {b = """\n"\n""", ' + "a." * (MIB // 2) + "a = 1}\n",
        "." + "a" * MIB,
        "x = " + "[" * MIB,
        "x = " + "{a = " * (MIB // 5),
        "x = " + "9" * MIB,
        "x = 0x" + "f" * MIB + "\n",
        "x = 0." + "9" * MIB + "\n",
        "[a]\n" * (MIB // 4),
        "[[a]]\n" * (MIB // 6),
        " " * MIB,
    ],
    ids=lambda body: body[:12].strip(),
)
def test_a_mebibyte_of_hostile_text_is_refused(body):
    with pytest.raises(DataError):
        RejectorCard.parse(sealed("format = 1\n" + body))


def test_text_that_only_looks_hostile_is_a_name_like_any_other(tmp_path):
    names = ("it's", "a # b", '"" \\" a.b.c', "'\"'", "..")
    features = np.eye(5)

    save(FixedAgent(agents=names).fit(features, features), tmp_path / "r.safetensors")

    assert load_card(tmp_path / "r.safetensors").agents == names


def test_an_agents_name_is_too_short_to_fill_the_memory_of_all_others(tmp_path):
    card = save(FixedAgent(agents=("a", "w")).fit(*data()), tmp_path / "r.safetensors")

    resealed(card, '"w"', f'"{"w" * 600_000}"')

    with pytest.raises(DataError, match="a name of 600000 characters"):
        load(tmp_path / "r.safetensors")
    with pytest.raises(ConfigError, match="a name of 201 characters"):
        FixedAgent(agents=("a", "w" * 201)).fit(*data())


@pytest.mark.parametrize(
    "hidden", [[1] * 101, [1] * 300_000, [1 << 29, 1 << 29], [10**4000]], ids=len
)
def test_layers_are_counted_before_they_are_made(tmp_path, hidden):
    path = tmp_path / "r.safetensors"
    card = save(Rejector(hidden=(2,), max_iter=1000, patience=1).fit(*data()), path)

    resealed(card, "hidden = [2]", f"hidden = {hidden}")

    with pytest.raises(DataError, match="too many layers or too wide"):
        load(path)
    with pytest.raises(ConfigError, match="too many layers or too wide"):
        TableRejector(3, 2, hidden=hidden)


@pytest.mark.parametrize(
    ("rejector", "old", "new", "message"),
    [
        (ConfidenceThreshold(), "confidence = 0", "confidence = 1.5", "confidence is 1.5"),
        (ConfidenceThreshold(), "confidence = 0", "confidence = true", "confidence is True"),
        (ConfidenceThreshold(), "confidence = 0", "confidence = 3", "confidence is column 3"),
        (RandomRejector(), "random_state = 0", 'random_state = "x"', "'x' cannot be used"),
        (RandomRejector(), "random_state = 0", "random_state = -1", "be used to seed|Seed must"),
        (RandomRejector(shares=(0.5, 0.5)), "shares = [0.5, 0.5]", "shares = [0.0, 1.0]", "arrays"),
        (FixedAgent(agent=1), "agent = 1", "agent = 0", "not those that the parameters"),
        (FixedAgent(agent=1), "agent = 1", "agent = true", "agent True is unknown"),
        (Rejector(), "random_state = 0", 'random_state = "x"', "random_state is 'x'"),
        (Rejector(), "max_iter = 500", f"max_iter = 0x{'f' * 5000}", "Exceeds the limit"),
        (Rejector(), "max_iter = 500", "max_iter = -5", "max_iter is -5"),
        (Rejector(), "tol = 0.001", "tol = nan", "tol is nan"),
        (Rejector(), 'device = "cpu"', "device = 5", "device is 5"),
        (Rejector(), "[parameters]", "[parameters]\nprices = [0.0, 1.0]", "agents or prices"),
        (Rejector(), "prices = [0.0, 0.0]", "prices = [0.0, 7.0]", "agents or prices"),
        (Rejector(), "agents = 2", 'agents = ["a", "b"]\n', "not in canonical form"),
        (
            Rejector(surrogate_settings={"nu": 0.5}),
            "surrogate_settings = {nu = 0.5}",
            "surrogate_settings = {nu = -5.0}",
            "nu is -5.0",
        ),
        (
            Rejector(agents=("a", "b")),
            'agents = ["a", "b"]',
            'agents = ["b", "a"]',
            "agents or prices",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_parameters_that_the_class_would_refuse_are_not_loaded(
    tmp_path, rejector, old, new, message
):
    card = save(rejector.fit(*data()), tmp_path / "r.safetensors")

    resealed(card, old, new)

    with pytest.raises(DataError, match=message):
        load(tmp_path / "r.safetensors")


@pytest.mark.parametrize(
    ("rejector", "changed"),
    [
        (Rejector(), {"prices": [0, 1]}),
        (Rejector(), {"agents": ["a", "b"]}),
        (Rejector(), {"tol": -1.0}),
        (Rejector(), {"max_iter": 10**5000}),
        (FixedAgent(), {"agent": 7}),
        (RandomRejector(), {"shares": [0.9, 0.1]}),
        (ConfidenceThreshold(), {"confidence": 4}),
        (ConfidenceThreshold(), {"confidence": 1}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else type(value).__name__,
)
def test_what_would_not_be_loaded_is_not_saved(tmp_path, rejector, changed):
    rejector.fit(*data()).set_params(**changed)

    with pytest.raises(ConfigError):
        save(rejector, tmp_path / "r.safetensors")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", surrogate_names())
def test_a_rejector_of_every_named_surrogate_is_loaded_again(tmp_path, name):
    features, costs = data()
    rejector = Rejector(surrogate=name, prices=[0, 0.0], patience=1, max_iter=1000)

    save(rejector.fit(features, costs), tmp_path / "r.safetensors")

    loaded = load(tmp_path / "r.safetensors")
    assert (loaded.predict(features) == rejector.predict(features)).all()


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path):
    path = tmp_path / "r.safetensors"
    card = save(FixedAgent().fit(*data()), path)
    for each in (path, card):
        each.rename(tmp_path / "kept")
        os.mkfifo(each)

        with pytest.raises(DataError, match=f"{each.name} is no ordinary file"):
            load(path)
        each.unlink()
        (tmp_path / "kept").rename(each)
    assert load(path) is not None


def test_the_cards_name_is_answered_with_the_name_to_give(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "triage.toml")
    assert caught.value.hint.startswith("give triage.safetensors")


@pytest.mark.parametrize("text", ["[project]\n", "", 'seal = "abc"\n'])
def test_a_file_that_is_no_card_is_not_replaced(tmp_path, text):
    theirs = tmp_path / "pyproject.toml"
    theirs.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match=r"pyproject\.toml is there already and is no"):
        save(FixedAgent().fit(*data()), tmp_path / "pyproject.safetensors")
    assert theirs.read_text(encoding="utf-8") == text
    assert [*tmp_path.iterdir()] == [theirs]


def test_a_folder_in_the_place_of_the_card_is_not_replaced(tmp_path):
    (tmp_path / "r.toml").mkdir()

    with pytest.raises(ConfigError, match="is there already"):
        save(FixedAgent().fit(*data()), tmp_path / "r.safetensors")


def test_a_card_that_is_there_is_replaced(tmp_path):
    path = tmp_path / "r.safetensors"
    save(FixedAgent(agent=0).fit(*data()), path)

    save(FixedAgent(agent=1).fit(*data()), path)

    assert load(path).agent_ == 1


@pytest.mark.parametrize(("room", "name"), [(100, "r.safetensors"), (400, "r.toml")])
def test_a_full_disk_changes_nothing_and_leaves_nothing_behind(tmp_path, room, name):
    path = tmp_path / "r.safetensors"
    card = save(FixedAgent(agent=0).fit(*data()), path)
    before = path.read_bytes(), card.read_bytes()
    assert len(before[0]) < 400 < len(before[1])

    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, old_limit[1]))
    try:
        with pytest.raises(StorageError, match=f"cannot write .*{name}"):
            save(FixedAgent(agent=1).fit(*data()), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)

    assert (path.read_bytes(), card.read_bytes()) == before
    assert {*tmp_path.iterdir()} == {path, card}


def test_a_card_too_large_to_load_is_not_saved(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is no dependency")
    names = [f"{number}{'x' * 300_000}" for number in range(4)]
    frame = pandas.DataFrame(np.random.default_rng(0).normal(size=(9, 4)), columns=names)

    with pytest.raises(ConfigError, match="more than the 1048576 that load reads"):
        save(FixedAgent().fit(frame, np.ones((9, 2))), tmp_path / "r.safetensors")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_says_who_may_read_what_was_saved(tmp_path, mask, mode):
    path = tmp_path / "r.safetensors"
    before = os.umask(mask)
    try:
        card = save(FixedAgent().fit(*data()), path)
    finally:
        os.umask(before)

    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, card)] == [mode, mode]
