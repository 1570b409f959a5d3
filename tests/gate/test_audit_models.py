"""A model is kept, and passes an audit, only as the checkpoint that the ledger records."""

import os
import shutil

import pytest
from house import House

from assistlearn.digests import file_digest
from assistlearn.errors import LedgerDigestError, StorageError
from parties.audit import check_results, verify
from parties.directory import PartyDirectory
from parties.gate.result import keep_early_result, keep_result
from protocols.roles import Role


def rounds_made(root, count):
    """A house whose learner has made so many rounds."""
    house = House(root, rounds=2)
    machine = house.parties[Role.LEARNER].session.machine
    while len(machine.results) < count:
        for role in Role:
            for action in range(3):
                while len(machine.results) < count and house.step(role, action):
                    pass
        house.heartbeat()
    return house


def keep(house, how=keep_result):
    """Keep the learner's model as it is now; where it is."""
    learner, provider = (house.parties[role] for role in Role)
    kept = how(learner.directory, learner.session, provider.identity.card)
    return getattr(kept, "model", kept)


def audited(house, directory):
    """How many models of the learner's passed."""
    peer = house.parties[Role.PROVIDER].identity.card
    _, view = verify(directory, peer, directory.ledger_path(peer), passed=str)
    return check_results(directory, [view])


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """After a session whose result was kept."""
    house = rounds_made(tmp_path_factory.mktemp("house"), 2)
    keep(house)
    house.run()
    house.parties[Role.LEARNER].session.close("completed")
    house.close()
    return house


@pytest.fixture
def copy(ended, tmp_path):
    """The learner's directory, to be changed."""
    root = tmp_path / "learner"
    shutil.copytree(ended.parties[Role.LEARNER].root, root)
    return PartyDirectory(root)


@pytest.mark.parametrize("own_name", [False, True])
def test_a_model_whose_card_was_taken_away_is_found(ended, copy, own_name):
    model = copy.models / "assisted.safetensors"
    model.with_suffix(".toml").unlink()
    if own_name:
        model = model.rename(copy.models / f"{ended.agreement.session[:16]}.safetensors")

    with pytest.raises(LedgerDigestError, match=f"{model.name} has no card") as caught:
        audited(ended, copy)

    assert caught.value.exit_code == 54
    assert f"{model.stem}.toml" in caught.value.hint


def test_a_model_beside_a_result_under_another_sessions_name_is_found(ended, copy):
    shutil.copy(copy.models / "assisted.safetensors", copy.models / f"{'ab' * 8}.safetensors")

    with pytest.raises(LedgerDigestError, match="has no card"):
        audited(ended, copy)


def test_models_under_other_names_are_their_owners_business(ended, copy):
    shutil.copy(copy.models / "assisted.safetensors", copy.models / "fine-tuned.safetensors")

    assert audited(ended, copy) == 1


@pytest.mark.parametrize(("rounds", "how"), [(2, keep_result), (1, keep_early_result)])
def test_a_model_that_a_killed_process_left_before_its_card_passes(tmp_path, rounds, how):
    house = rounds_made(tmp_path, rounds)
    directory = house.parties[Role.LEARNER].directory
    model = keep(house, how)
    model.with_suffix(".toml").unlink()
    house.close()

    assert audited(house, directory) == 1

    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    with pytest.raises(LedgerDigestError, match="has no card"):
        audited(house, directory)


def test_a_result_without_a_card_before_the_last_round_is_found(tmp_path):
    house = rounds_made(tmp_path, 1)
    directory = house.parties[Role.LEARNER].directory
    early = keep(house, keep_early_result)
    early.with_suffix(".toml").unlink()
    early.rename(directory.models / "assisted.safetensors")
    house.close()

    with pytest.raises(LedgerDigestError, match=r"assisted\.safetensors has no card"):
        audited(house, directory)


@pytest.mark.parametrize("line", ["verified_by = 'an auditor'", "[more]", "sha512 = ''"])
def test_nothing_can_be_added_to_a_results_card_unseen(ended, copy, line):
    card = copy.models / "assisted.toml"
    card.write_text(f"{card.read_text()}{line}\n")

    with pytest.raises(LedgerDigestError, match=r"assisted\.toml says something of") as caught:
        audited(ended, copy)

    assert caught.value.hint


@pytest.mark.parametrize("where", ["agreements", "models", "ledger"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(ended, copy, where):
    path = next(
        path
        for path in (copy.root / where).iterdir()
        if path.suffix in {".txt", ".toml", ".head"} or path.name.endswith(".lock")
    )
    path.unlink()
    os.mkfifo(path)

    with pytest.raises(StorageError, match="no ordinary file"):
        audited(ended, copy)


@pytest.mark.parametrize("how", [keep_result, keep_early_result])
def test_a_model_that_changed_on_our_disk_is_not_kept_as_the_result(tmp_path, how):
    house = rounds_made(tmp_path, 2)
    learner = house.parties[Role.LEARNER]
    path = learner.session.store.path(learner.session.machine.best.digest)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"\0")

    with pytest.raises(StorageError, match="is not what it was") as caught:
        keep(house, how)

    assert str(path) in str(caught.value)
    assert str(learner.session.folder) in caught.value.hint
    assert not list(learner.directory.models.iterdir())
    path.write_bytes(whole)
    assert file_digest(keep(house, how)) == path.stem
    house.close()
