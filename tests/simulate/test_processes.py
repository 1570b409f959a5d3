"""Two real parties as processes: settings that they accept, and the same models as in one."""

import json
import time
import tomllib

import pytest
from simulating import small_settings

from assistlearn.errors import (
    ConfigError,
    LedgerDamagedError,
    PartyDirectoryError,
    WorkerError,
)
from parties.cli import exit_codes
from parties.directory import PartyDirectory
from parties.settings import PartySettings
from parties.settings_file import check_settings
from parties.simulate import processes
from parties.simulate.processes import (
    party_error,
    party_table,
    run_parties,
    run_processes,
    session_outcome,
    set_up_parties,
)
from parties.simulate.session import assisted
from parties.simulate.sites import Sites
from parties.simulate.toml import toml_text
from protocols.roles import Role

WITHOUT_HINT = "look at stderr.txt in its directory"


@pytest.mark.parametrize("role", Role)
def test_a_partys_settings_file_is_one_that_a_party_accepts(role):
    settings = small_settings(minimum_gain=0.5, model_settings={})
    text = toml_text(party_table(settings, 7, role, port=7733))

    party = check_settings(tomllib.loads(text), PartySettings, name="config.toml")

    assert party.role == role
    assert party.task.seed == 7
    assert party.task.settings["party"] == role
    assert party.terms.terms() == settings.terms.terms()
    assert party.minimum_gain == (0.5 if role is Role.LEARNER else None)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": 1, "b": {"c": [1, 2.5, 'x"\\\n\x7f\u00e9'], "d e": {"f": True, "g": {}}}},
        {"\u00e9 \U0001f3e5": "\U0001f3e5 \x7f"},
        {"a": {"b": {"c": 1e-300, "d": -3, "e": []}}},
    ],
)
def test_toml_is_read_back_as_it_was(value):
    assert tomllib.loads(toml_text(value)) == value


def test_toml_refuses_what_it_cannot_write():
    with pytest.raises(TypeError):
        toml_text({"a": None})


def test_parties_are_never_set_up_over_others(tmp_path):
    set_up_parties(small_settings(), 0, tmp_path)

    with pytest.raises(PartyDirectoryError):
        set_up_parties(small_settings(), 0, tmp_path)


def test_a_party_that_fails_ends_the_session_with_its_own_words(tmp_path):
    directories = set_up_parties(small_settings(), 0, tmp_path)
    (directories[Role.PROVIDER] / "config.toml").write_text("role = 3\n")

    with pytest.raises(ConfigError, match=r"the provider's process ended: .*config") as caught:
        run_parties(directories, told=lambda *_: None)
    assert caught.value.exit_code == 10
    assert caught.value.hint != WITHOUT_HINT


class LateProvider:
    """A queue that the provider's reason reaches last, as where its reader got no processor."""

    def __init__(self, lines, role):
        self._lines = lines
        self._role = role

    def put(self, item):
        if self._role is Role.PROVIDER and item[1] and '"suspended"' in item[1]:
            time.sleep(0.5)
        self._lines.put(item)


@pytest.mark.parametrize("queue", [lambda lines, _: lines, LateProvider], ids=["first", "last"])
def test_what_stops_a_provider_is_said_rather_than_that_the_learner_was_stopped(
    tmp_path, monkeypatch, queue
):
    settings = small_settings()
    directories = set_up_parties(settings, 0, tmp_path)
    provider = PartyDirectory(directories[Role.PROVIDER])
    (learner,) = provider.cards().values()
    provider.ledger_path(learner).parent.mkdir()
    provider.ledger_path(learner).write_bytes(b"no ledger at all" * 1000)
    listen = processes._listen
    monkeypatch.setattr(
        processes, "_listen", lambda role, of, lines: listen(role, of, queue(lines, role))
    )

    with pytest.raises(
        LedgerDamagedError, match=r"the provider's process ended: .*sqlite"
    ) as caught:
        run_parties(directories, told=lambda *_: None)
    assert caught.value.exit_code == 51
    assert "backup" in caught.value.hint


@pytest.mark.parametrize("code", sorted({code for code, *_ in exit_codes()}))
def test_a_published_exit_code_of_a_party_comes_through_with_its_words(code):
    said = {"error": "no room", "hint": "make some", "exit_code": code}

    error = party_error(Role.LEARNER, said)

    assert error.exit_code == code
    assert str(error) == "the learner's process ended: no room"
    assert error.hint == "make some"


@pytest.mark.parametrize(
    "said",
    [{"error": "ZeroDivisionError: x", "hint": "", "exit_code": 70}, {"error": "killed"}, {}],
    ids=["a bug", "no last word", "nothing at all"],
)
def test_an_ending_without_a_published_code_is_the_processes_fault(said):
    error = party_error(Role.PROVIDER, said)

    assert type(error) is WorkerError
    assert error.hint == WITHOUT_HINT


def test_events_survive_lines_that_are_no_events():
    events = [{"event": "sampled", "round": 1, "step": 3, "loss": None}]

    assert session_outcome(json.loads(json.dumps(events))).rounds == ()


@pytest.mark.slow
def test_two_processes_make_the_same_choices_as_one(tmp_path):
    settings = small_settings(seeds=[0])
    sites = Sites(settings, seed=0, folder=tmp_path / "one")
    heard = []

    alone = list(assisted(sites))
    apart = run_processes(
        settings, 0, tmp_path / "two", told=lambda role, event: heard.append((role, event["event"]))
    )

    # equal to the last bit of a float64: the models and all losses were the same
    assert [each.global_loss for each in apart.rounds] == [each.global_loss for each in alone]
    assert [each.metrics for each in apart.rounds] == [each.metrics for each in alone]
    assert [each.provider_step for each in apart.rounds] == [each.provider_step for each in alone]
    for real, estimated in zip(apart.rounds, alone, strict=True):
        assert real.sent_bytes == pytest.approx(estimated.sent_bytes, rel=0.1)
        assert real.received_bytes == pytest.approx(estimated.received_bytes, rel=0.1)
    assert (Role.PROVIDER, "finished") in heard
