"""What was paid for is kept, and never bought twice unasked."""

import shutil
import tomllib

import pytest
from twoparties import LEARNER, PROVIDER, TwoParties

from assistlearn.digests import file_digest
from parties.directory import PartyDirectory

pytestmark = pytest.mark.slow


@pytest.fixture
def parties(tmp_path):
    made = TwoParties(tmp_path, task={"factory": "toytasks:make"})
    yield made
    made.close()


def card_of(model):
    return tomllib.loads(model.with_suffix(".toml").read_text())


def test_a_session_that_the_provider_ends_early_leaves_the_model_of_its_paid_rounds(parties):
    hold = parties.hold(LEARNER, 40)  # the first update of the second round
    provider = parties.provide()
    learner = parties.start(LEARNER)
    session = learner.wait_for("agreed")["session"]
    learner.wait_for("round")
    provider.kill()
    shutil.rmtree(PartyDirectory(parties.home(PROVIDER)).session_folder(session))
    parties.provide()

    assert learner.wait() == 25  # it knows of no such session any more

    early = parties.home(LEARNER) / "models" / f"{session[:16]}.safetensors"
    assert learner.named("saved") == [{"event": "saved", "model": str(early)}]
    assert card_of(early)["rounds"] == 1
    assert card_of(early)["sha256"] == file_digest(early)
    assert not (early.parent / "assisted.toml").exists()
    assert parties.verify(LEARNER)[0] == 0

    hold.unlink()
    again = parties.start(LEARNER)  # nothing was completed: this is not buying again

    assert again.wait() == 0
    assert again.named("agreed")
    assert early.exists()


def test_a_result_is_kept_beside_the_next_and_never_bought_again_unasked(parties):
    parties.provide()
    models = parties.home(LEARNER) / "models"
    assert parties.start(LEARNER).wait() == 0
    first = card_of(models / "assisted.safetensors")

    assert parties.start(LEARNER, "--again").wait() == 0

    kept = models / f"{first['session'][:16]}.safetensors"
    assert card_of(kept) == first
    assert file_digest(kept) == first["sha256"]
    assert card_of(models / "assisted.safetensors")["session"] != first["session"]
    assert parties.verify(LEARNER)[0] == 0

    shutil.rmtree(models)
    without = parties.start(LEARNER)

    assert without.wait() == 14
    assert "--again" in without.error["hint"]
    assert not without.named("agreed")
