"""The commands that a person types before and after a session."""

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from house import House
from twoparties import ledger_file

from assistlearn.bundle import Card
from assistlearn.ledger import Ledger
from parties.setup import make_party
from protocols.roles import Role


def typed(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What a person gets for ``assistlearn ARGUMENTS``, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "parties", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def test_init_makes_secret_keys_and_settings_and_never_overwrites(tmp_path):
    made = typed("init", "learner", tmp_path / "clinic", "--json")

    facts = json.loads(made.stdout)
    key = tmp_path / "clinic" / "keys" / "identity.key"
    assert facts["name"] == "clinic"
    assert facts["card"].startswith("assistlearn-card-v1 clinic ")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    before = key.read_bytes()
    again = typed("init", "learner", tmp_path / "clinic")
    assert again.returncode == 14
    assert "already" in again.stderr
    assert key.read_bytes() == before


def test_init_says_what_others_will_call_the_party(tmp_path):
    made = typed("init", "learner", tmp_path / "Klinik Süd")

    assert "others will know you as klinik-sud" in made.stdout


@pytest.mark.parametrize(
    "lost", [["config.toml"], ["config.toml", "peers"], ["config.toml", "peers", "keys/card.txt"]]
)
def test_init_goes_on_with_the_keys_that_an_interrupted_one_left(tmp_path, lost):
    clinic = tmp_path / "clinic"
    card = make_party(clinic, role=Role.LEARNER, name="clinic-a")
    key = (clinic / "keys/identity.key").read_bytes()
    for name in lost:
        (clinic / name).rmdir() if name == "peers" else (clinic / name).unlink()

    refused = typed("init", "learner", clinic)
    again = typed("init", "learner", clinic, "--name", "clinic-a")

    assert refused.returncode == 14
    assert "hint: pass --name clinic-a" in refused.stderr
    assert again.returncode == 0, again.stderr
    assert "the keys that were in keys/ are kept" in again.stdout
    assert (clinic / "keys/identity.key").read_bytes() == key
    assert (clinic / "keys/card.txt").read_text() == card.line() + "\n"
    assert "ok  settings: learner" in typed("doctor", clinic).stdout


def test_init_makes_keys_in_a_folder_that_was_left_without_any(tmp_path):
    (tmp_path / "clinic/keys").mkdir(parents=True)

    made = typed("init", "learner", tmp_path / "clinic")

    assert made.returncode == 0, made.stderr
    assert "keys in keys/ (secret)" in made.stdout


def test_init_refuses_a_name_that_is_none(tmp_path):
    refused = typed("init", "provider", tmp_path / "x", "--name", "Rad Lab!")

    assert refused.returncode == 31
    assert "'Rad Lab!'" in refused.stderr
    assert "hint: choose" in refused.stderr


@pytest.fixture
def two(tmp_path):
    cards = {role: make_party(tmp_path / role.value, role=role, name=role.value) for role in Role}
    return tmp_path, cards


def test_peer_add_takes_a_file_or_the_line_and_shows_both_fingerprints(two):
    root, cards = two
    provider = cards[Role.PROVIDER]

    added = typed("peer", "add", root / "provider/keys/card.txt", "--dir", root / "learner")
    again = typed("peer", "add", provider.line(), "--dir", root / "learner")

    assert added.returncode == again.returncode == 0
    assert provider.short in added.stdout
    assert cards[Role.LEARNER].short in added.stdout
    assert "already on file" in again.stdout
    assert provider.short in typed("peer", "list", "--dir", root / "learner").stdout


@pytest.mark.parametrize(
    ("card", "what"),
    [
        (lambda root, cards: cards[Role.LEARNER].line(), "our own card"),
        (lambda root, cards: cards[Role.PROVIDER].line()[:-9], "copy the line again"),
        (lambda root, cards: root / "nowhere.card", "No such file"),
        (lambda root, cards: root, "Is a directory"),
        (lambda root, cards: root / "learner/config.toml", "not a card"),
    ],
    ids=["own", "cut short", "absent", "a folder", "another file"],
)
def test_peer_add_refuses_what_is_no_card_of_the_other(two, card, what):
    root, cards = two

    refused = typed("peer", "add", card(root, cards), "--dir", root / "learner")

    assert refused.returncode == 31
    assert what in refused.stderr
    assert not list((root / "learner/peers").iterdir())


def test_peer_add_refuses_another_key_under_a_known_name(two):
    root, cards = two
    typed("peer", "add", cards[Role.PROVIDER].line(), "--dir", root / "learner")
    impostor = make_party(root / "impostor", role=Role.PROVIDER, name="provider")

    refused = typed("peer", "add", impostor.line(), "--dir", root / "learner")

    assert refused.returncode == 31
    assert cards[Role.PROVIDER].short in refused.stderr
    assert impostor.short in refused.stderr
    assert "provider.card" in refused.stderr


def test_a_file_among_the_cards_that_is_none_is_named(two):
    root, _ = two
    (root / "learner/peers").mkdir(exist_ok=True)
    (root / "learner/peers/odd.card").write_bytes(b"\xff\xfe")

    refused = typed("peer", "list", "--dir", root / "learner")

    assert refused.returncode == 31
    assert "odd.card is not a card" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    "command", [["learn"], ["provide"], ["audit", "show"], ["audit", "verify"]]
)
def test_a_directory_of_nobody_is_named_with_what_to_do(tmp_path, command):
    refused = typed(*command, tmp_path)

    assert refused.returncode == 14
    assert str(tmp_path) in refused.stderr
    assert "assistlearn init" in refused.stderr


def test_each_side_is_told_when_it_types_the_other_command(two):
    root, _ = two

    assert "assistlearn learn" in typed("provide", root / "learner").stderr
    assert "assistlearn provide" in typed("learn", root / "provider").stderr


def test_doctor_makes_every_check_and_exits_with_the_first_failure(two):
    root, _ = two

    done = typed("doctor", root / "learner", "--json")

    found = {check["name"]: check for check in map(json.loads, done.stdout.splitlines())}
    assert found["machine"]["state"] == found["keys"]["state"] == "ok"
    assert found["peers"]["exit_code"] == 32
    assert found["task"]["exit_code"] == 12
    assert "train.csv" in found["task"]["detail"]
    assert done.returncode == 32


def test_doctor_goes_on_to_the_keys_and_no_further_after_settings_that_fail(two):
    root, _ = two
    (root / "learner/config.toml").write_text("role = 3\n")

    done = typed("doctor", root / "learner", "--json")

    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [check["name"] for check in found] == ["machine", "cryptography", "settings", "keys"]
    assert done.returncode == found[2]["exit_code"] == 10
    assert "without settings in order" in " ".join(typed("doctor", "--help").stdout.split())


def test_doctor_says_that_privacy_is_unknown_where_no_batch_size_is_set(two):
    root, _ = two
    config = root / "learner/config.toml"
    text = config.read_text()
    start, end = text.index("[task.settings]"), text.index("[link]")
    own = text[:start].replace("tasks:table", "tasks:digits") + text[end:]
    config.write_text(own)

    done = typed("doctor", root / "learner")

    assert "ok  task: 1,437 examples" in done.stdout
    assert "warning  privacy: unknown: " in done.stdout
    assert "all in order" not in done.stdout


def test_keys_that_others_can_read_are_refused(two):
    root, _ = two
    (root / "learner/keys/identity.key").chmod(0o644)

    refused = typed("peer", "list", "--dir", root / "learner")

    assert refused.returncode == 30
    assert "chmod" in refused.stderr


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Both parties' files after a session."""
    house = House(tmp_path_factory.mktemp("house"))
    house.run()
    best = house.parties[Role.LEARNER].session.machine.best.digest
    checkpoint = house.parties[Role.LEARNER].session.store.path(best)
    copy = checkpoint.parents[3] / "best.safetensors"
    copy.write_bytes(checkpoint.read_bytes())
    for party in house.parties.values():
        party.session.close("completed")
        party.ledger.write_head(party.identity)
    house.close()
    return house, copy


def test_inspect_says_what_each_file_is_without_keys(ended):
    house, checkpoint = ended
    learner = house.parties[Role.LEARNER].root
    agreement = next((learner / "agreements").iterdir())
    ledger = ledger_file(learner, "provider")
    expected = {
        checkpoint: "checkpoint",
        learner / "keys/card.txt": "public card",
        agreement: "agreement",
        ledger: "ledger",
        ledger.with_suffix(".sqlite.head"): "signed ledger head",
        ledger.with_suffix(".card"): "public card",
    }

    for path, kind in expected.items():
        facts = json.loads(typed("inspect", path, "--json").stdout)
        assert facts["kind"] == kind
    bundle = json.loads(typed("inspect", ledger, "--entry", 3, "--json").stdout)
    assert bundle["kind"] == "bundle, sent"
    assert bundle["round"] == 1


def test_inspect_refuses_files_of_others_and_damaged_checkpoints(tmp_path, ended):
    _, checkpoint = ended
    (tmp_path / "photo.png").write_bytes(b"\x89PNG....")
    (tmp_path / "cut.safetensors").write_bytes(checkpoint.read_bytes()[:-1])

    for name in ("photo.png", "cut.safetensors"):
        refused = typed("inspect", tmp_path / name)
        assert refused.returncode == 12
        assert name in refused.stderr
    assert typed("inspect", tmp_path / "absent").returncode == 12


def test_audit_shows_what_left_and_verifies_in_numbered_steps(ended):
    house, _ = ended
    learner = house.parties[Role.LEARNER].root

    shown = typed("audit", "show", learner)
    verified = typed("audit", "verify", learner)

    assert "left: round 1, checkpoint of step 0 (attached" in shown.stdout
    assert "3 of 3 rounds" in shown.stdout
    assert verified.returncode == 0, verified.stderr
    assert [line.split(".")[0].strip() for line in verified.stdout.splitlines()[1:8]] == list(
        "1234567"
    )


def test_audit_goes_on_after_the_others_card_was_taken_off_file(ended, tmp_path):
    copy = tmp_path / "learner"
    shutil.copytree(ended[0].parties[Role.LEARNER].root, copy)
    (copy / "peers/provider.card").unlink()

    assert "with provider (" in typed("audit", "show", copy).stdout
    assert "6. the recorded events replay" in typed("audit", "verify", copy).stdout


@pytest.mark.parametrize("what", ["no card", "another's card", "no ledger"])
def test_audit_says_so_where_a_ledger_or_its_card_is_missing(ended, tmp_path, what):
    house, _ = ended
    copy = tmp_path / "learner"
    shutil.copytree(house.parties[Role.LEARNER].root, copy)
    ledger = ledger_file(copy, "provider")
    card = ledger.with_suffix(".card")
    match what:
        case "no card":
            card.unlink()
        case "another's card":
            shutil.copy(copy / "keys/card.txt", card)
        case "no ledger":
            ledger.unlink()

    for command in ("show", "verify"):
        found = typed("audit", command, copy)
        assert found.returncode == 50
        assert ledger.name in found.stderr
        assert "hint:" in found.stderr


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("a byte of the ledger", (51, 52)),
        ("the head", (53,)),
        ("the agreement's file", (54,)),
        ("the result's card", (54,)),
        ("the last entries", (55,)),
    ],
)
def test_audit_exits_with_a_code_for_each_kind_of_damage(ended, tmp_path, damage, code):
    house, _ = ended
    copy = tmp_path / "learner"
    shutil.copytree(house.parties[Role.LEARNER].root, copy)
    ledger = ledger_file(copy, "provider")
    match damage:
        case "a byte of the ledger":
            data = bytearray(ledger.read_bytes())
            data[len(data) // 2] ^= 1
            ledger.write_bytes(data)
        case "the head":
            head = ledger.with_suffix(".sqlite.head")
            head.write_text(head.read_text().replace("size ", "size 1"))
        case "the agreement's file":
            note = next((copy / "agreements").iterdir())
            note.write_text(note.read_text().replace("rounds 3", "rounds 4"))
        case "the result's card":
            (copy / "models").mkdir(exist_ok=True)
            (copy / "models/assisted.toml").write_bytes(b"round = ?\n")
        case "the last entries":
            shorter = tmp_path / "shorter.sqlite"
            with Ledger.read(ledger) as whole, Ledger.open(shorter, now_ms=lambda: 0) as cut:
                for entry in list(whole.entries())[:-4]:
                    cut._now_ms = lambda at_ms=entry.at_ms: at_ms
                    cut.append(entry.kind, entry.session, entry.body)
            shorter.replace(ledger)

    found = typed("audit", "verify", copy)

    assert found.returncode in code, found.stdout + found.stderr
    assert "hint:" in found.stderr


@pytest.mark.parametrize("command", ["show", "verify"])
def test_audit_goes_on_to_the_other_ledgers_after_one_that_fails(ended, tmp_path, command):
    copy = tmp_path / "learner"
    shutil.copytree(ended[0].parties[Role.LEARNER].root, copy)
    ledger = ledger_file(copy, "provider")
    (copy / "ledger/a-stray.card").write_text("assistlearn-ca")
    shutil.copy(copy / "peers/provider.card", copy / "ledger/other.card")
    broken = copy / "ledger" / f"learner-{Card.parse(own_card(copy)).fingerprint[:16]}.sqlite"
    broken.write_bytes(b"no ledger")
    broken.with_suffix(".card").write_text(own_card(copy))

    found = typed("audit", command, copy)
    as_json = typed("audit", command, copy, "--json")

    assert found.returncode == as_json.returncode == 50  # that of the first
    told = [line for line in found.stderr.splitlines() if "assistlearn: error: " in line]
    named = ["a-stray.sqlite", broken.name, "other.sqlite"]
    assert [name in line for name, line in zip(named, told, strict=True)] == [True] * 3
    assert found.stderr.count("assistlearn: hint: ") == 3
    assert {"show": "3 of 3 rounds", "verify": f"{ledger}\n  1. "}[command] in found.stdout
    events = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert [each["exit_code"] for each in events if "error" in each] == [50, 51, 50]
    assert [each["event"] for each in events if "event" in each][-1] == {
        "show": "session",
        "verify": "verified",
    }[command]


def own_card(root):
    """A party's own card, as text."""
    return (root / "keys/card.txt").read_text()


@pytest.mark.parametrize("whose", Role)
def test_audit_says_what_is_wrong_with_a_result_that_is_not_the_ledgers(ended, tmp_path, whose):
    house, _ = ended
    copy = tmp_path / "party"
    shutil.copytree(house.parties[whose].root, copy)
    (copy / "models").mkdir()
    (copy / "models/assisted.toml").write_text(f'session = "{house.agreement.session}"\n')

    found = typed("audit", "verify", copy)

    assert found.returncode == 54
    assert "assisted.toml" in found.stderr
    assert "hint:" in found.stderr
    assert "Traceback" not in found.stderr
