"""Saved rejectors: bit for bit the same, and nothing else is ever loaded."""

import json
import math
import tomllib

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from sklearn.ensemble import RandomForestRegressor

from assistlearn.deferral.rejector_card import RejectorCard, toml_value
from assistlearn.deferral.rejectors import (
    ConfidenceThreshold,
    FixedAgent,
    MildRejector,
    PlugInRejector,
    RandomRejector,
    Rejector,
)
from assistlearn.deferral.saving import load, save
from assistlearn.digests import digest
from assistlearn.errors import AssistLearnError, ConfigError, DataError, StorageError

NAMES = ("clinic", 'lab "B"', "nachts 🌙")
REJECTORS = [
    Rejector(agents=NAMES, prices={"clinic": 0.1}),
    Rejector(hidden=(5, 3), max_iter=2000, patience=1, weight_decay=1e-2),
    Rejector(surrogate="mild_log", surrogate_settings={"margins": (1.0, 0.5, 2.0)}),
    Rejector(surrogate_settings={"nu": 0.5, "weights": "max"}, prices=np.array([0, 0.25, 1])),
    PlugInRejector(agents=NAMES),
    ConfidenceThreshold(confidence=-1),
    FixedAgent(agents=NAMES, agent="clinic"),
    FixedAgent(),
    RandomRejector(agents=NAMES, shares={"clinic": 0.25, "nachts 🌙": 0.75}, random_state=4),
]


def data(dtype=np.float64, rows=90):
    generator = np.random.default_rng(0)
    return generator.normal(size=(rows, 4)).astype(dtype), generator.random((rows, 3))


def reseal(card: str) -> bytes:
    """The card with a right seal over whatever stands below it."""
    body = card.partition("\n")[2]
    return f'seal = "{digest(body.encode())}"\n{body}'.encode()


def network(**changes):
    """A fitted rejector with one small hidden layer."""
    parts = {"agents": NAMES, "hidden": (2,), "max_iter": 1000, "patience": 1, **changes}
    return Rejector(**parts).fit(*data())


@pytest.fixture(scope="module")
def fitted():
    return network()


@pytest.fixture
def saved(fitted, tmp_path):
    path = tmp_path / "triage.safetensors"
    return path, save(fitted, path)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("rejector", REJECTORS, ids=lambda each: repr(each)[:40])
def test_a_loaded_rejector_decides_bit_for_bit_as_the_one_saved(tmp_path, rejector, dtype):
    features, costs = data(dtype)
    fresh = np.random.default_rng(1).normal(size=(500, 4)).astype(dtype)
    rejector.fit(features, costs)

    save(rejector, tmp_path / "r.safetensors")
    loaded = load(tmp_path / "r.safetensors")

    assert type(loaded) is type(rejector)
    one, other = rejector.decide(fresh), loaded.decide(fresh)
    for name in ("agents", "runners_up", "margins", "scores", "expected_costs", "cost_errors"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
        assert getattr(one, name).dtype == getattr(other, name).dtype, name
    assert one.agent_names == other.agent_names
    assert np.array_equal(rejector.predict(fresh), loaded.predict(fresh))
    assert loaded.score(features, costs) == rejector.score(features, costs)
    assert one.explain(3) == other.explain(3)


def test_saving_again_what_was_loaded_gives_the_same_files(saved, tmp_path):
    path, card = saved

    save(load(path), tmp_path / "again.safetensors")

    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    assert (tmp_path / "again.toml").read_bytes() == card.read_bytes()


def test_a_loaded_rejector_can_be_fitted_again(saved, fitted):
    path, _ = saved

    scores = load(path).fit(*data()).decision_function(data()[0])

    assert np.array_equal(scores, fitted.decision_function(data()[0]))


def test_any_tool_reads_the_arrays_and_the_card(saved):
    path, card = saved

    arrays, text = load_file(path), tomllib.loads(card.read_text(encoding="utf-8"))

    assert arrays["layers.0.weights"].shape == (4, 2)
    assert text["kind"] == "Rejector"
    assert text["agents"] == [*NAMES]
    assert text["features"] == 4
    assert text["prices"] == [0.0, 0.0, 0.0]
    assert len(text["cost_errors"]) == 3
    assert text["parameters"]["surrogate"] == "two_stage"
    assert text["tensors"] == digest(path.read_bytes())
    assert set(text["versions"]) == {"assistlearn", "numpy", "scikit-learn", "torch"}


def test_feature_names_are_saved(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is no dependency")
    features, costs = data()
    frame = pandas.DataFrame(features, columns=["age", "größe", "b p", "x"])
    rejector = ConfidenceThreshold(confidence="größe").fit(frame, costs)

    save(rejector, tmp_path / "r.safetensors")
    loaded = load(tmp_path / "r.safetensors")

    assert (loaded.predict(frame) == rejector.predict(frame)).all()
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame[["x", "age", "größe", "b p"]])


def test_one_changed_byte_in_either_file_is_refused(saved):
    for path in saved:
        good = path.read_bytes()
        for place in range(0, len(good), max(len(good) // 150, 1)):
            changed = bytearray(good)
            changed[place] ^= 1 << (place % 8)
            path.write_bytes(changed)
            with pytest.raises(DataError):
                load(saved[0])
        path.write_bytes(good)
    assert load(saved[0]) is not None


def test_files_cut_short_or_gone_on_are_refused(saved):
    for path in saved:
        good = path.read_bytes()
        for changed in (b"", good[:7], good[:-1], good + b"\n", good + good):
            path.write_bytes(changed)
            with pytest.raises(DataError):
                load(saved[0])
        path.write_bytes(good)


def test_files_of_two_rejectors_do_not_go_together(saved, tmp_path):
    path, _ = saved
    save(network(random_state=1), tmp_path / "other.safetensors")

    path.write_bytes((tmp_path / "other.safetensors").read_bytes())

    with pytest.raises(DataError, match=r"hashes to .* its card says"):
        load(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format = 1", "format = 2", "not of format 1"),
        ('kind = "Rejector"', 'kind = "os.system"', "'os.system', which is unknown"),
        ('kind = "Rejector"', 'kind = "MildRejector"', "which is unknown"),
        ('kind = "Rejector"', 'kind = "Rejector"\nowner = "me"', "has another"),
        ("features = 4\n", "", "lacks a field"),
        ("features = 4", "features = 4.0", "features are 4.0"),
        ("features = 4", "features = true", "features are True"),
        ("features = 4", "features = 5", "has .* bytes|does not hold|hashes"),
        ("features = 4", "features = 1000000", "hashes to|does not hold"),
        ('"clinic"', '"clinic", "more"', "are not 4 numbers"),
        ('"clinic"', '"nachts 🌙"', "the agents are"),
        ('dtype = "float64"', 'dtype = "object"', "dtype 'object'"),
        ("prices = [0.0", "prices = [-1.0", "are not 3 numbers"),
        ("prices = [0.0", "prices = [nan", "are not 3 numbers"),
        ("prices = [0.0", "prices = [inf", "are not 3 numbers"),
        ("hidden = [2]", "hidden = [3]", "has .* bytes|does not hold|hashes"),
        ("hidden = [2]", "hidden = [1000000000000]", "too many layers or too wide"),
        ("hidden = [2]", f"hidden = [{', '.join(['1'] * 101)}]", "too many layers or too wide"),
        ("hidden = [2]", "hidden = [1000000]", "hashes to|does not hold"),
        ("hidden = [2]", "hidden = [-2]", "parameters are not those"),
        ("hidden = [2]", 'hidden = "ab"', "parameters are not those"),
        ("hidden = [2]", "hidden = [2.5]", "parameters are not those"),
        ("patience = 1", "patients = 1", "parameter 'patients'"),
        ('"two_stage"', '"two_rage"', "parameters are not those"),
        ('"two_stage"', '"two_stage"\nsurrogate_settings = {mu = 1}', "parameters are not those"),
        ("tol = 0.001", "tol = 1e-3", "not in canonical form"),
        ("tol = 0.001", "tol = 1979-05-27", "wrong kind"),
        ("[parameters]", "[parameters]\n# a remark", "not in canonical form"),
        ("[parameters]", "[parameters", "not TOML"),
        ("[parameters]", "x = " + "[" * 5000, "not TOML"),
        ("tol = 0.001", "tol" + ".a" * 100_000 + " = 1", "not in canonical form"),
        ("hidden = [2]", "hidden = {a" + ' . "."' * 50_000 + " = 1}", "not in canonical form"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_a_card_that_was_written_to_mislead_is_refused(saved, old, new, message):
    path, card = saved
    text = card.read_text(encoding="utf-8")
    assert old in text

    card.write_bytes(reseal(text.replace(old, new, 1)))

    with pytest.raises(DataError, match=message):
        load(path)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10**13)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["Rejector", "PlugInRejector", "FixedAgent", "lbfgs", "mild_log"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


FIELDS = ["kind", "agents", "features", "dtype", "prices", "cost_errors", "tensors", "parameters"]
PARAMETERS = [
    "hidden",
    "surrogate",
    "surrogate_settings",
    "confidence",
    "shares",
    "agent",
    "agents",
]


def forged(card, fields, parameters):
    """The card with other fields and parameters, sealed; None if that is no TOML."""
    table = {**tomllib.loads(card), **fields}
    del table["seal"]
    sections = {name: table.pop(name) for name in ("parameters", "versions")}
    if isinstance(sections["parameters"], dict):
        sections["parameters"] |= parameters
    try:
        lines = [f"{name} = {toml_value(value)}" for name, value in table.items()]
        for name, section in sections.items():
            if not isinstance(section, dict):
                lines.insert(0, f"{name} = {toml_value(section)}")
                continue
            lines += ["", f"[{name}]"]
            lines += [f"{key} = {toml_value(each)}" for key, each in section.items()]
        return reseal("seal\n" + "\n".join(lines) + "\n")
    except (TypeError, ValueError):
        return None


@given(
    fields=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=2),
    parameters=st.dictionaries(st.sampled_from(PARAMETERS), VALUES, max_size=2),
    kind=st.sampled_from(["Rejector", "PlugInRejector", "ConfidenceThreshold", "FixedAgent"]),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_card_says_the_answer_is_a_rejector_or_an_error_of_ours(
    saved, fields, parameters, kind
):
    path, card = saved
    good = card.read_bytes()
    data_ = forged(good.decode(), {"kind": kind, **fields}, parameters)
    assume(data_ is not None)

    card.write_bytes(data_)
    try:
        loaded = load(path)
    except AssistLearnError:
        pass
    else:
        assert loaded.predict(data()[0]).shape == (90,)
    finally:
        card.write_bytes(good)


@given(st.binary(max_size=300))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_in_the_place_of_a_card_do_anything_but_fail(saved, noise):
    with pytest.raises(DataError):
        RejectorCard.parse(noise)
    with pytest.raises(DataError):
        RejectorCard.parse(reseal("seal\n" + noise.decode(errors="replace")))


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_arrays_that_are_not_finite_are_refused(saved, value):
    path, card = saved
    text = card.read_text(encoding="utf-8")
    good = path.read_bytes()
    bad = good[:-8] + np.array(value, dtype="<f8").tobytes()

    path.write_bytes(bad)
    card.write_bytes(reseal(text.replace(digest(good), digest(bad))))

    with pytest.raises(DataError, match="not finite"):
        load(path)


def test_another_header_is_compared_and_not_parsed(saved):
    path, card = saved
    text, good = card.read_text(encoding="utf-8"), path.read_bytes()
    size = int.from_bytes(good[:8], "little")
    header = json.loads(good[8 : 8 + size])
    header["layers.0.weights"]["data_offsets"] = [0, 10**15]
    packed = json.dumps(header, separators=(",", ":")).encode().ljust(size)[:size]
    bad = good[:8] + packed + good[8 + size :]

    path.write_bytes(bad)
    card.write_bytes(reseal(text.replace(digest(good), digest(bad))))

    with pytest.raises(DataError, match="does not hold the arrays"):
        load(path)


def test_an_expert_that_does_not_exist_is_refused(tmp_path):
    path = tmp_path / "r.safetensors"
    card = save(FixedAgent().fit(*data()), path)
    good = path.read_bytes()
    bad = good[:-8] + (7).to_bytes(8, "little")

    path.write_bytes(bad)
    text = card.read_text(encoding="utf-8")
    card.write_bytes(reseal(text.replace(digest(good), digest(bad))))

    with pytest.raises(DataError, match="is agent 7"):
        load(path)


@pytest.mark.parametrize(
    ("rejector", "message"),
    [
        (Rejector(surrogate=lambda scores, costs: (scores.softmax(1) * costs).sum(1)), "function"),
        (PlugInRejector(regressor=RandomForestRegressor(n_estimators=2)), "RandomForestRegressor"),
        (RandomRejector(random_state=np.random.RandomState(0)), "RandomState"),
        (RandomRejector(random_state=None), "random_state is a NoneType"),
        (MildRejector(exponents=(0.0,), scales=(1.0,)), "save its rejector_"),
    ],
    ids=["function", "forest", "generator", "no seed", "mild"],
)
def test_what_is_no_plain_value_is_not_saved(tmp_path, rejector, message):
    with pytest.raises(ConfigError) as caught:
        save(rejector.fit(*data()), tmp_path / "r.safetensors")
    assert message in f"{caught.value} {caught.value.hint}"
    assert not [*tmp_path.iterdir()]


def test_a_rejector_whose_parameters_were_changed_since_is_not_saved(tmp_path):
    rejector = Rejector().fit(*data()).set_params(hidden=(3,))

    with pytest.raises(ConfigError, match="not those that the parameters give") as caught:
        save(rejector, tmp_path / "r.safetensors")
    assert "fit the rejector again" in caught.value.hint


def test_a_rejector_that_is_not_fitted_is_not_saved(tmp_path):
    with pytest.raises(ConfigError, match="not fitted"):
        save(Rejector(), tmp_path / "r.safetensors")


def test_the_winner_among_margins_is_saved_as_an_ordinary_rejector(tmp_path):
    features, costs = data()
    mild = MildRejector(exponents=(0.0, 0.5), scales=(1.0,)).fit(features, costs)

    save(mild.rejector_, tmp_path / "r.safetensors")

    loaded = load(tmp_path / "r.safetensors")
    assert np.array_equal(loaded.decision_function(features), mild.decision_function(features))
    assert loaded.surrogate_settings["margins"] == mild.choice_.best.margins


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(StorageError, match=r"r\.toml"):
        load(tmp_path / "r.safetensors")
    with pytest.raises(StorageError, match="nowhere"):
        save(FixedAgent().fit(*data()), tmp_path / "nowhere" / "r.safetensors")
    with pytest.raises(ConfigError, match=r"does not end in \.safetensors"):
        save(FixedAgent().fit(*data()), tmp_path / "r.pkl")


def test_a_failed_save_leaves_the_files_as_they_were(saved):
    path, card = saved
    before = path.read_bytes(), card.read_bytes()

    with pytest.raises(ConfigError):
        save(Rejector(surrogate=lambda s, c: s.sum(1)), path)

    assert (path.read_bytes(), card.read_bytes()) == before
