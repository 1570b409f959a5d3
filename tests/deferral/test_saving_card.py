"""What a card may say beside the rejector: error costs, a calibration, digests of models."""

import math
import tomllib

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from assistlearn.deferral.budgets import (
    Calibration,
    RateInterval,
    Threshold,
    benefit_of_deferring,
    calibrate,
)
from assistlearn.deferral.rejector_card import RejectorCard, toml_value
from assistlearn.deferral.rejectors import FixedAgent, Rejector
from assistlearn.deferral.saving import load, load_card, save
from assistlearn.digests import digest, file_digest
from assistlearn.errors import ConfigError, DataError

NAMES = ("clinic", 'lab "B"', "nachts 🌙")
SHA = digest(b"a model")


def reseal(card: str) -> bytes:
    """The card with a right seal over whatever stands below it."""
    body = card.partition("\n")[2]
    return f'seal = "{digest(body.encode())}"\n{body}'.encode()


def fitted(**changes):
    generator = np.random.default_rng(0)
    rejector = Rejector(**{"agents": NAMES, **changes})
    return rejector.fit(generator.normal(size=(90, 4)), generator.random((90, 3)))


def measured(rate=0.25, rows=40, seed=0, confidence=0.95):
    """A calibration on random gains with ties."""
    generator = np.random.default_rng(seed)
    chosen_on, held_out = generator.integers(0, 9, size=(2, rows)) / 8
    return calibrate(
        chosen_on,
        rate,
        held_out_B=held_out,
        requests=int(generator.integers(1, 500)),
        generator=generator,
        confidence=confidence,
    )


EXTRAS = {
    "error_costs": {"mortality": 1.0, "length of stay": 0.25},
    "calibration": measured(),
    "models": {"clinic": SHA, "nachts 🌙": digest(b"")},
}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "triage.safetensors"
    return path, save(fitted(), path, **EXTRAS)


def test_what_was_given_comes_back_and_the_rejector_is_the_same(saved, tmp_path):
    path, card = saved
    plain = save(fitted(), tmp_path / "plain.safetensors")

    found = load_card(path)

    assert found.error_costs == EXTRAS["error_costs"]
    assert found.calibration == EXTRAS["calibration"]
    assert found.models == EXTRAS["models"]
    features = np.random.default_rng(1).normal(size=(50, 4))
    assert np.array_equal(
        load(path).decision_function(features),
        load(tmp_path / "plain.safetensors").decision_function(features),
    )
    assert path.read_bytes() == (tmp_path / "plain.safetensors").read_bytes()
    assert "[calibration]" in card.read_text(encoding="utf-8")
    assert "[calibration]" not in plain.read_text(encoding="utf-8")
    assert load_card(tmp_path / "plain.safetensors").calibration is None


def test_people_and_other_tools_read_it(saved):
    text = tomllib.loads(saved[1].read_text(encoding="utf-8"))
    calibration = EXTRAS["calibration"]

    assert text["error_costs"] == {"mortality": 1.0, "length of stay": 0.25}
    assert text["models"]["clinic"] == SHA
    assert text["calibration"] == {
        "threshold": calibration.threshold.value,
        "tie_probability": calibration.threshold.tie_probability,
        "held_out": 40,
        "rate": calibration.expected.rate,
        "confidence": 0.95,
        "lower": calibration.expected.lower,
        "upper": calibration.expected.upper,
        "requests": calibration.requests,
        "deployed_lower": calibration.deployed.lower,
        "deployed_upper": calibration.deployed.upper,
    }


def test_a_saved_threshold_decides_as_it_did_before_it_was_saved(tmp_path):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(600, 2))
    costs = np.stack([0.5 + 0.3 * np.tanh(features[:, 0]), np.full(600, 0.45)], axis=1)
    rejector = Rejector(agents=["net", "doctor"]).fit(features[:200], costs[:200])
    gains = benefit_of_deferring(rejector.decide(features[200:400]).expected_costs).gain
    calibration = calibrate(
        gains[:100], 0.2, held_out_B=gains[100:], requests=200, generator=generator
    )
    (tmp_path / "net.bin").write_bytes(b"weights")

    save(
        rejector,
        tmp_path / "r.safetensors",
        calibration=calibration,
        models={"net": file_digest(tmp_path / "net.bin")},
    )
    loaded, card = load(tmp_path / "r.safetensors"), load_card(tmp_path / "r.safetensors")
    before, after = (
        each.decide(features[400:]).under(threshold=limit)
        for each, limit in ((rejector, calibration), (loaded, card.calibration))
    )

    assert 0 < before.shares[1] < 0.5
    assert (before.agents == after.agents).all()
    assert [*map(before.explain, range(20))] == [*map(after.explain, range(20))]


def test_agents_without_names_are_called_by_their_numbers(tmp_path):
    path = tmp_path / "r.safetensors"

    save(fitted(agents=None), path, models={"agent 0": SHA})

    assert load_card(path).models == {"agent 0": SHA}


TEXTS = st.text(min_size=1, max_size=6).filter(lambda text: text.strip() and text.isprintable())


@given(
    error_costs=st.dictionaries(TEXTS, st.floats(0, 1e9), max_size=3),
    calibration=st.none()
    | st.builds(
        measured,
        rate=st.floats(0, 1),
        rows=st.integers(1, 60),
        seed=st.integers(0, 99),
        confidence=st.floats(0.01, 0.999),
    ),
    models=st.dictionaries(st.sampled_from(NAMES), st.binary().map(digest)),
)
def test_whatever_calibrate_measures_is_written_and_read_back_exactly(
    error_costs, calibration, models
):
    card = RejectorCard(
        kind="Rejector",
        agents=NAMES,
        features=2,
        dtype="float64",
        prices=(0.0,) * 3,
        cost_errors=(0.1,) * 3,
        parameters={},
        tensors=SHA,
        versions={"numpy": "2"},
        error_costs=error_costs,
        calibration=calibration,
        models=models,
    )

    found = RejectorCard.parse(card.text().encode())

    assert found == card
    assert found.text() == card.text()


MEASURED = {
    "threshold": EXTRAS["calibration"].threshold.value,
    "tie_probability": EXTRAS["calibration"].threshold.tie_probability,
    "rate": EXTRAS["calibration"].expected.rate,
    "lower": EXTRAS["calibration"].expected.lower,
    "upper": EXTRAS["calibration"].expected.upper,
    "deployed_lower": EXTRAS["calibration"].deployed.lower,
}


def line(name):
    """A line of the calibration."""
    return f"\n{name} = {MEASURED[name]!r}\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (line("threshold"), "\nthreshold = nan\n", "the threshold is NaN"),
        (line("threshold"), "\nthreshold = 1\n", "not in canonical form"),
        (line("threshold"), '\nthreshold = "0.5"\n', "wrong kind|canonical"),
        (line("threshold"), "\n", "lacks a field"),
        (line("tie_probability"), "\ntie_probability = 1.5\n", "tie is 1.5"),
        (line("tie_probability"), "\ntie_probability = true\n", "canonical"),
        (line("rate"), "\nrate = 0.001\n", "not measured on the same"),
        (line("rate"), "\nrate = -0.1\n", "no interval"),
        (line("rate"), "\nrate = inf\n", "no interval"),
        (line("lower"), "\nlower = 0.99\n", "not measured|no interval"),
        (line("upper"), "\nupper = 1.01\n", "no interval"),
        (line("deployed_lower"), "\ndeployed_lower = 1.0\n", "no interval"),
        ("confidence = 0.95", "confidence = 1.0", "confidence is 1.0"),
        ("confidence = 0.95", "confidence = 0.95\nlevel = 0.95", "not in canonical form"),
        ("held_out = 40", "held_out = 41", "not measured on the same 41"),
        ("held_out = 40", "held_out = 40.0", "canonical"),
        ("held_out = 40", "held_out = 0", "no share of examples"),
        ("held_out = 40", "held_out = true", "wrong kind|canonical"),
        ("[calibration]", "[calibration]\n# sure", "not in canonical form"),
        ("mortality = 1.0", "mortality = -1.0", "error costs have 'mortality'"),
        ("mortality = 1.0", "mortality = nan", "error costs have 'mortality'"),
        ("mortality = 1.0", "mortality = 1", "error costs have 'mortality'"),
        ("mortality = 1.0", "mortality = {a = 1.0}", "error costs have 'mortality'"),
        ("mortality = 1.0", '"" = 1.0', "error costs have ''"),
        ("mortality = 1.0", '"mortality" = 1.0', "not in canonical form"),
        ("mortality = 1.0\n", "", None),
        (f'clinic = "{SHA}"', f'doctor = "{SHA}"', "models have 'doctor'"),
        (f'clinic = "{SHA}"', f'clinic = "{SHA[1:]}"', "models have 'clinic'"),
        (f'clinic = "{SHA}"', f'clinic = "{SHA.upper()}"', "models have 'clinic'"),
        (f'clinic = "{SHA}"', "clinic = 5", "models have 'clinic'"),
        ("[versions]", "[more]\n\n[versions]", "has another"),
        ("\n[error_costs]\nmortality = 1.0\n", "\n[error_costs]\n[x]\n", "has another"),
    ],
    ids=lambda value: str(value).strip()[:40],
)  # fmt: skip
def test_a_card_that_saving_would_not_write_is_refused(saved, old, new, message):
    path, card = saved
    text = card.read_text(encoding="utf-8")
    assert old in text

    card.write_bytes(reseal(text.replace(old, new, 1)))

    if message is None:  # another card that could have been written
        assert load_card(path).error_costs == {"length of stay": 0.25}
        return
    for reader in (load, load_card):
        with pytest.raises(DataError, match=message):
            reader(path)


def test_empty_tables_are_not_written_and_so_not_read(saved):
    path, card = saved
    text = card.read_text(encoding="utf-8")
    start, end = text.index("\n[error_costs]"), text.index("\n[calibration]")

    card.write_bytes(reseal(text[:start] + "\n[error_costs]\n" + text[end:]))

    with pytest.raises(DataError, match="not in canonical form"):
        load_card(path)


VALUES = st.recursive(
    st.booleans() | st.integers(-3, 10**13) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
PLACES = [("calibration", name) for name in (*MEASURED, "held_out", "requests", "confidence")]
PLACES += [("error_costs", "mortality"), ("models", "clinic")]


@given(st.sampled_from(PLACES), VALUES)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_forged_value_is_refused_or_one_that_saving_writes(saved, place, value):
    path, card = saved
    good = card.read_text(encoding="utf-8")
    section, name = place
    head, _, tail = good.partition(f"\n[{section}]\n")
    lines = tail.split("\n")
    number = next(at for at, each in enumerate(lines) if each.startswith(f"{name} = "))
    try:
        lines[number] = f"{name} = {toml_value(value)}"
        forged = reseal(f"{head}\n[{section}]\n" + "\n".join(lines))
    except (TypeError, ValueError):
        assume(False)

    card.write_bytes(forged)
    try:
        found = load_card(path)
    except DataError:
        pass
    else:
        again = save(
            load(path),
            path.with_name("again.safetensors"),
            error_costs=found.error_costs,
            calibration=found.calibration,
            models=found.models,
        )
        assert again.read_bytes() == forged
    finally:
        card.write_bytes(good.encode())


def test_one_changed_byte_in_what_was_added_is_refused(saved):
    path, card = saved
    good = card.read_bytes()
    start, end = good.index(b"[error_costs]"), good.index(b"[versions]")

    for place in range(start, end, 7):
        changed = bytearray(good)
        changed[place] ^= 1
        card.write_bytes(changed)
        with pytest.raises(DataError):
            load_card(path)


@pytest.mark.parametrize(
    ("extras", "message"),
    [
        ({"error_costs": {"mortality": -1}}, "error costs have 'mortality'"),
        ({"error_costs": {"mortality": math.inf}}, "error costs have 'mortality'"),
        ({"error_costs": {"mortality": "1"}}, "error costs have 'mortality'"),
        ({"error_costs": {"two\nlines": 1.0}}, "error costs have"),
        ({"models": {"doctor": SHA}}, "models have 'doctor'"),
        ({"models": {"clinic": "abc"}}, "models have 'clinic'"),
        ({"calibration": 0.3}, "the calibration is 0.3"),
    ],
    ids=str,
)
def test_what_no_card_can_say_is_not_saved(tmp_path, extras, message):
    with pytest.raises(ConfigError, match=message):
        save(fitted(), tmp_path / "r.safetensors", **extras)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "wrong",
    [
        {"held_out": 0},
        {"held_out": 41},
        {"requests": 0},
        {"deployed": RateInterval(rate=0.5, lower=0, upper=1, confidence=0.95)},
        {"expected": RateInterval(rate=0.25, lower=0.3, upper=0.4, confidence=0.95)},
    ],
    ids=str,
)
def test_a_calibration_that_was_never_measured_is_refused(wrong):
    interval = RateInterval(rate=0.25, lower=0.1, upper=0.4, confidence=0.95)
    right = {
        "threshold": Threshold(value=0.1),
        "expected": interval,
        "deployed": interval,
        "requests": 10,
        "held_out": 40,
    }

    assert Calibration(**right).held_out == 40
    with pytest.raises(ConfigError):
        Calibration(**{**right, **wrong})


def test_any_kind_of_rejector_can_have_them(tmp_path):
    path = tmp_path / "r.safetensors"
    rejector = FixedAgent().fit(np.eye(4), np.eye(4))

    save(rejector, path, error_costs={"errors": np.float32(0.5)})

    assert load_card(path).error_costs == {"errors": 0.5}
    assert load(path).predict(np.eye(4)).tolist() == [0, 0, 0, 0]
