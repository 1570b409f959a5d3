"""The demo, from events as real parties emit them; and once in earnest."""

import json
import shlex
import subprocess
import sys
import tomllib

import pytest
from patience import PATIENCE_S
from simulating import made_results, made_round, small_settings

from parties.demo.report import demo_table, findings, next_steps
from parties.demo.run import SETTINGS, demo_results, new_folder
from parties.demo.screen import Screen
from parties.output import Output, plain_console
from parties.settings import SimulationSettings
from parties.settings_file import load_settings
from parties.simulate.outcome import ASSISTED, MethodRun
from parties.simulate.processes import session_outcome
from protocols.roles import Role

LEARNER = [
    {"event": "connecting", "address": "tcp://127.0.0.1:7733", "peer": "provider"},
    {"event": "connected", "peer": "provider"},
    {"event": "agreed", "session": "ab" * 32, "rounds": 2},
    {"event": "started", "loss": 2.3},
    {"event": "sampled", "round": 1, "step": 12, "loss": 1.5},
    {"event": "scored", "stopped_early": False},
    {"event": "round", "round": 1, "bytes_sent": 36_200, "bytes_received": 103_000,
     "seconds": 0.9, "global_loss": 0.288, "step": 60, "metrics": {"accuracy": 0.911}},
    {"event": "round", "round": 2, "bytes_sent": 26_100, "bytes_received": 103_000,
     "seconds": 1.1, "global_loss": None, "step": 0, "metrics": {"accuracy": 0.942}},
    {"event": "finished", "round": 2, "model": "models/assisted.safetensors"},
]  # fmt: skip


@pytest.fixture
def outcome():
    return session_outcome(LEARNER)


@pytest.fixture
def results(outcome):
    baselines = tuple(
        MethodRun(seed=0, method=name, rounds=tuple(made_round(n, a) for n in range(3)))
        for name, a in (("learner_only", 0.75), ("provider_only", 0.96), ("pooled", 0.95))
    )
    return demo_results(small_settings(seeds=[0]), outcome, baselines)


def printed(renderable):
    console = plain_console(stderr=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_rounds_are_read_from_the_learners_events(outcome):
    assert [each.round for each in outcome.rounds] == [1, 2]
    assert outcome.rounds[0].metrics == {"accuracy": 0.911}
    assert outcome.rounds[0].received_bytes == 103_000
    assert outcome.rounds[1].global_loss == float("inf")


def test_table_has_every_round_beside_what_it_is_compared_with(results):
    rows = printed(demo_table(results)).splitlines()

    assert max(map(len, rows)) <= 80
    assert [row.split("  ")[0] for row in rows[1:]] == [
        "learner alone",
        "assisted, round 1",
        "assisted, round 2",
        "provider alone",
        "pooled data (oracle)",
    ]
    assert rows[2].split()[3:] == ["91.1", "%", "0.288", "36.2", "kB", "103", "kB", "0.9"]


def test_findings_are_in_points_and_name_the_provider_alone(results):
    said = " ".join(findings(results))

    assert "19.2 points better than after training alone" in said
    assert "0.8 points worse than one that saw both" in said
    assert "The provider alone is 1.8 points better still" in said
    assert "One seed" in said


def test_findings_do_not_praise_the_provider_alone_where_it_is_behind():
    curves = {"learner_only": 0.7, ASSISTED: 0.95, "provider_only": 0.9, "pooled": 0.94}
    results = made_results({name: [[0.1, a]] for name, a in curves.items()})

    said = " ".join(findings(results))

    assert "provider alone" not in said
    assert "1.0 points better than one that saw both" in said


def test_without_a_terminal_progress_is_a_few_plain_lines(capsys):
    with Screen(output=Output(), rounds=2).shown() as screen:
        for event in LEARNER:
            screen.take(Role.LEARNER, event)
        screen.take(Role.PROVIDER, {"event": "listening"})

    assert capsys.readouterr().out.splitlines() == [
        "both parties signed the same agreement",
        "round 1 is complete: accuracy 91.1 %",
        "round 2 is complete: accuracy 94.2 %",
        "the session is complete",
        "the provider is listening",
    ]


def test_both_parties_stand_side_by_side(capsys):
    screen = Screen(output=Output(), rounds=2)
    for event in LEARNER[:7]:
        screen.take(Role.LEARNER, event)
    screen.take(Role.PROVIDER, {"event": "sampled", "round": 1, "step": 15, "loss": 1.0})
    capsys.readouterr()

    rows = [row.split("   ") for row in printed(screen.table()).splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]

    assert cells[0] == ["learner", "provider"]
    assert cells[1] == ["doing", "round 1 is complete", "training, at step 15"]
    assert cells[2] == ["round", "2 of 2", "1 of 2"]
    assert cells[5] == ["sent", "36.2 kB", "0 B"]


def test_programs_get_every_event_of_both_parties(capsys):
    screen = Screen(output=Output(as_json=True), rounds=2)

    screen.take(Role.LEARNER, LEARNER[4])

    assert json.loads(capsys.readouterr().out) == {
        "event": "party", "role": "learner", "said": LEARNER[4],
    }  # fmt: skip


def test_next_steps_are_commands_that_exist(tmp_path):
    lines = list(next_steps({role: tmp_path / f"our {role}" for role in Role}))

    assert all("assistlearn " in line.partition("  ")[0] for line in lines)
    assert str(tmp_path / "our learner") in shlex.split(lines[0])


def test_demo_settings_are_a_valid_file_for_simulate_and_use_what_real_parties_use():
    settings = load_settings(SETTINGS, SimulationSettings)

    assert settings.terms.loss_precision == "coarse"
    assert {"learner_only", "provider_only", "pooled"} <= set(settings.baselines)


def test_no_earlier_demo_is_touched(tmp_path):
    first = new_folder(tmp_path)
    (first / "kept").write_text("")

    assert [first.name, new_folder(tmp_path).name] == ["run-1", "run-2"]
    assert (first / "kept").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)  # seconds; the command's own limit ends it first
def test_demo_runs_two_real_parties_to_the_end(tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "parties", "demo", "--json", "--output", tmp_path],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )

    events = [json.loads(line) for line in process.stdout.splitlines()]
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-2000:]
    last = events[-1]
    assert last["event"] == "finished"
    accuracy = {m: v["accuracy"][-1]["mean"] for m, v in last["summary"]["mean"].items()}
    assert accuracy[ASSISTED] > accuracy["learner_only"] + 0.05
    config = tomllib.loads((tmp_path / "run-1" / "learner" / "config.toml").read_text())
    assert config["role"] == "learner"
