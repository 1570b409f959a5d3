"""Terms that differ end before anything is trained, with the field and both values."""

import pytest
from twoparties import LEARNER, PROVIDER, TwoParties, recorded_events

from protocols.agreement import Agreement

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # seconds; the first test's include the fixture that all share
]

CASES = {
    "rounds": ({"terms": {"rounds": 7}}, "7", "2"),
    "weighting": ({"terms": {"weighting": "parties"}}, "parties", "samples"),
    "loss-precision": ({"terms": {"loss_precision": "coarse"}}, "coarse", "exact"),
    "model": ({"task": {"settings": {"model": "linear"}}}, None, None),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """Learners with other terms, then an honest one, at a provider that is never restarted."""
    parties = TwoParties(tmp_path_factory.mktemp("terms"), names=(*CASES, "honest"))
    provider = parties.provide()
    try:
        for field, (changes, _, _) in CASES.items():
            if field == "model":
                settings = {"train": parties.root / "model.npz", "model": "linear"}
                parties.learner_extra = {"task": {"settings": settings}}
            else:
                parties.learner_extra = changes
            (parties.root / field / "config.toml").write_text(parties.config(LEARNER, field))
        started = {name: parties.start(LEARNER, name=name) for name in CASES}
        ended = {name: (learner.wait(), learner) for name, learner in started.items()}
        honest = parties.start(LEARNER, name="honest")
        ended["honest"] = (honest.wait(), honest)
        provider.wait_for("finished")
        yield parties, provider, ended
    finally:
        parties.close()


@pytest.mark.parametrize("field", CASES)
def test_a_term_that_differs_ends_the_learner_with_code_22_and_names_both_values(refused, field):
    _, _, ended = refused
    code, learner = ended[field]
    _, own, peer = CASES[field]

    said = learner.error

    assert code == said["exit_code"] == 22
    field = field.replace("-", "_")
    assert f"differ in {field!r}" in said["error"]
    assert own is None or f"ours is {own!r}, the peer's is {peer!r}" in said["error"]
    assert ("doctor" if field == "model" else f"settle {field!r}") in said["hint"]


def test_nothing_is_agreed_trained_or_sent_when_terms_differ(refused):
    parties, provider, ended = refused

    for field in CASES:
        assert not ended[field][1].named("agreed")
        assert not ended[field][1].named("sampled")
        assert [kind for kind, _, _ in parties.ledger(PROVIDER, field)] == ["refusal"]
    assert len(provider.named("agreed")) == 1


def test_the_provider_stays_up_and_serves_the_next_honest_session(refused):
    parties, provider, ended = refused

    assert ended["honest"][0] == 0
    assert provider.alive
    assert recorded_events(parties.ledger(PROVIDER, "honest"))["Sampled"] == 6
    note = next(body for kind, _, body in parties.ledger(LEARNER, "honest") if kind == "agreement")
    assert Agreement.parse(note.decode().partition("\n\n")[0] + "\n").rounds == 2
