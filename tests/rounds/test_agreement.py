"""The text that both sign: one form, every field compared, nothing void accepted."""

import dataclasses

import pytest
from pair import agreement

from assistlearn.digests import digest
from assistlearn.errors import AgreementMismatchError, PeerProtocolError, ProtocolError
from protocols.agreement import (
    MAX_TEXT_BYTES,
    Agreement,
    LossPrecision,
    Side,
    Terms,
    Weighting,
    draw_up,
)
from protocols.roles import Role
from protocols.sampling import Sampling

TERMS = Terms(
    task="toy",
    loss="cross_entropy",
    rounds=3,
    learner_steps=None,
    provider_steps=None,
    total_steps=2000,
    sampling=Sampling.EVEN,
    sampling_period=50,
    include_last=True,
    weighting=Weighting.SAMPLES,
    loss_precision=LossPrecision.COARSE,
    loss_clip=4.0,
    loss_noise=0.0,
    round_bytes=10**9,
    price=0,
    currency="EUR",
    budget=0,
)


def side(name: str, samples: int) -> Side:
    return Side(
        fingerprint=digest(name.encode()),
        nonce=digest(f"{name} nonce".encode()),
        sealing_key=digest(f"{name} key".encode()),
        samples=samples,
    )


def test_the_text_comes_back_as_it_was_and_names_the_session():
    ours = agreement()

    assert Agreement.parse(ours.text()) == ours
    assert ours.session == digest(ours.text().encode())
    assert len(ours.text()) < MAX_TEXT_BYTES


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Agreement)])
def test_a_difference_in_any_field_is_named_with_both_values(name):
    ours = agreement()
    value = getattr(ours, name)
    theirs = dataclasses.replace(ours)
    other = value + 1 if isinstance(value, int) else "other"
    object.__setattr__(theirs, name, other)

    with pytest.raises(AgreementMismatchError) as caught:
        ours.must_equal(theirs)

    assert caught.value.field == name
    assert str(getattr(value, "value", value))[:16] in str(caught.value)
    assert str(other) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        ("rounds 3", "rounds 03"),
        ("rounds 3", "rounds 0"),
        ("rounds 3", "rounds three"),
        ("rounds 3\n", "rounds 3\nrounds 3\n"),
        ("rounds 3\n", ""),
        ("weighting samples", "weighting mine"),
        ("weighting samples", "weighting parties"),
        ("objective minimise-loss", "objective maximise-return"),
        ("loss_clip 4.0", "loss_clip -1"),
        ("loss_clip 4.0", "loss_clip x"),
        ("include_last 1", "include_last 2"),
        ("task toy", "task toy story"),
        ("sampling even", "sampling odd"),
        ("sampling_period 2", "sampling_period 0"),
        ("learner_steps 4", "learner_steps 99999999999999999"),  # would not fit into memory
        ("assistlearn/agreement/v1", "assistlearn/agreement/v2"),
    ],
    ids=lambda change: f"{change[0]!r} to {change[1]!r}",
)
def test_text_in_any_other_form_is_refused(change):
    with pytest.raises(PeerProtocolError):
        Agreement.parse(agreement().text().replace(*change))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"price": 10, "budget": 9}, "does not pay"),
        ({"learner_samples": 0}, "weighting"),
        ({"sampling_period": 1, "learner_steps": 5000}, "more than 4096"),
    ],
)
def test_terms_that_make_no_agreement_are_refused_with_the_reason(changes, what):
    with pytest.raises(ProtocolError, match=what):
        agreement(**changes)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ()),
        ({"rounds": 5}, ("rounds",)),
        ({"total_steps": 1200}, ("learner_steps", "provider_steps")),
        ({"total_steps": None, "learner_steps": 9}, ()),  # half an edit is no reason to stop
        ({"price": 7, "budget": 70, "loss_clip": 5.0}, ("loss_clip", "price", "budget")),
    ],
)
def test_terms_edited_after_they_were_signed_are_named(changes, names):
    signed = draw_up(
        TERMS,
        learner=side("learner", 2500),
        provider=side("provider", 25_000),
        model=digest(b"model"),
        data=digest(b""),
    )

    assert signed.edited_since(dataclasses.replace(TERMS, **changes)) == names


def test_terms_edited_to_need_counts_that_were_never_told_are_named_without_them():
    hidden = dataclasses.replace(
        TERMS, weighting=Weighting.PARTIES, total_steps=None, learner_steps=4, provider_steps=6
    )
    signed = draw_up(
        hidden,
        learner=side("learner", 0),
        provider=side("provider", 0),
        model=digest(b"model"),
        data=digest(b""),
    )

    assert signed.edited_since(TERMS) == ("weighting",)


def test_budget_bounds_the_rounds():
    assert agreement(rounds=9, price=300, budget=1000).affordable_rounds == 3
    assert agreement(rounds=9).affordable_rounds == 9


@pytest.mark.parametrize(
    ("learner_samples", "steps"), [(2500, 182), (9250, 540), (18250, 844), (25000, 1000)]
)
def test_steps_are_shared_by_data_size_as_in_the_paper(learner_samples, steps):
    drawn = draw_up(
        TERMS,
        learner=side("learner", learner_samples),
        provider=side("provider", 25_000),
        model=digest(b"model"),
        data=digest(b""),
    )

    assert (drawn.steps(Role.LEARNER), drawn.steps(Role.PROVIDER)) == (steps, 2000 - steps)


def test_each_differing_term_is_named_before_anything_is_drawn_up():
    others = {
        "rounds": 4,
        "sampling": Sampling.DOUBLING,
        "weighting": Weighting.PARTIES,
        "loss_clip": 2.0,
    }
    for name, other in others.items():
        theirs = dataclasses.replace(TERMS, **{name: other})
        with pytest.raises(AgreementMismatchError) as caught:
            TERMS.must_equal(theirs.text())
        assert caught.value.field == name
    TERMS.must_equal(TERMS.text())


def test_parties_that_sample_differently_are_told_the_term_and_both_values():
    theirs = dataclasses.replace(TERMS, sampling=Sampling.DOUBLING)

    with pytest.raises(AgreementMismatchError, match=r"sampling.*even.*doubling"):
        TERMS.must_equal(theirs.text())


@pytest.mark.parametrize(
    ("sampling", "learner_grid", "provider_grid"),
    [
        (Sampling.EVEN, (0, 2, 4), (0, 2, 4, 6, 8, 10, 12, 13)),
        (Sampling.DOUBLING, (0, 2, 4), (0, 2, 4, 8, 13)),
    ],
)
def test_the_agreement_names_the_steps_that_both_sides_await(sampling, learner_grid, provider_grid):
    signed = agreement(sampling=sampling, provider_steps=13)

    read = Agreement.parse(signed.text())

    assert read.grid(Role.LEARNER) == learner_grid
    assert read.grid(Role.PROVIDER) == provider_grid
