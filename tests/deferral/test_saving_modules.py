"""Saved torch modules: settings and weights, no code, and bit for bit the same scores."""

import tomllib

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from assistlearn.deferral.rejector_card import toml_value
from assistlearn.deferral.rejectors import (
    AdamSettings,
    FixedAgent,
    ImageRejector,
    TableRejector,
    TextFeatureRejector,
    TorchRejector,
    train_rejector,
)
from assistlearn.deferral.saving import load, load_card, load_module, save
from assistlearn.deferral.two_stage import two_stage_surrogate
from assistlearn.digests import digest
from assistlearn.errors import AssistLearnError, ConfigError, DataError

NAMES = ("net", "nurse", "Ärztin")
MODULES = {
    "table": (lambda: TableRejector(4, 3, hidden=(5, 2), extra=2), (4,)),
    "linear": (lambda: TableRejector(4, 3, hidden=(), extra=2), (4,)),
    "image": (lambda: ImageRejector((2, 16, 20), 3, extra=2), (2, 16, 20)),
    "text": (lambda: TextFeatureRejector(3, buckets=16, extra=2, words=2), (16,)),
}


def inputs(shape, rows=12, seed=0, dtype=torch.float32):
    """A first input of a shape, and two numbers as the second."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(rows, *each, generator=generator, dtype=dtype) for each in (shape, (2,))
    )


def rejector_of(build, shape, *, dtype=torch.float32, agents=NAMES):
    """A rejector with random weights, and costs fitted beside."""
    torch.manual_seed(0)
    module = build().to(dtype)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    costs = np.random.default_rng(0).random((12, 3))
    return TorchRejector.of(module, inputs(shape, dtype=dtype), costs, agents=agents)


def reseal(card: str) -> bytes:
    """The card with a right seal over whatever stands below it."""
    body = card.partition("\n")[2]
    return f'seal = "{digest(body.encode())}"\n{body}'.encode()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "triage.safetensors"
    return path, save(rejector_of(*MODULES["image"]), path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", MODULES)
def test_a_loaded_module_decides_bit_for_bit_as_the_one_saved(tmp_path, name, dtype):
    build, shape = MODULES[name]
    rejector = rejector_of(build, shape, dtype=dtype)
    fresh = inputs(shape, seed=1, dtype=dtype)

    save(rejector, tmp_path / "r.safetensors")
    loaded = load_module(tmp_path / "r.safetensors")

    one, other = rejector.decide(*fresh), loaded.decide(*fresh)
    for field in ("agents", "margins", "scores", "expected_costs", "cost_errors"):
        assert np.array_equal(getattr(one, field), getattr(other, field)), field
        assert getattr(one, field).dtype == getattr(other, field).dtype, field
    assert one.agent_names == other.agent_names == NAMES
    assert one.explain(0) == other.explain(0)
    assert loaded.module.settings == rejector.module.settings


def test_saving_again_what_was_loaded_gives_the_same_files(saved, tmp_path):
    path, card = saved

    save(load_module(path), tmp_path / "again.safetensors", models={"net": digest(b"net")})

    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    assert load_card(tmp_path / "again.safetensors").models == {"net": digest(b"net")}
    save(load_module(path), tmp_path / "again.safetensors")
    assert (tmp_path / "again.toml").read_bytes() == card.read_bytes()


def test_a_loaded_module_can_be_trained_on(saved):
    module = load_module(saved[0]).module
    before = [each.detach().clone() for each in module.parameters()]
    once = AdamSettings(epochs=1, validation_fraction=0)

    train_rejector(
        module, inputs((2, 16, 20), rows=20), torch.rand(20, 3), two_stage_surrogate, once
    )

    changed = [not torch.equal(*pair) for pair in zip(before, module.parameters(), strict=True)]
    assert all(changed)


def test_a_loaded_text_rejector_hashes_words_as_the_one_saved(tmp_path):
    rejector = rejector_of(*MODULES["text"], agents=None)
    texts = ["pay the invoice", "kernel panic"]

    save(rejector, tmp_path / "r.safetensors")
    loaded = load_module(tmp_path / "r.safetensors")

    assert torch.equal(loaded.module.features(texts), rejector.module.features(texts))
    assert loaded.agents == 3


def test_any_tool_reads_the_weights_and_the_card(saved):
    path, card = saved

    arrays, text = load_file(path), tomllib.loads(card.read_text(encoding="utf-8"))

    assert arrays["module.body.0.weight"].shape == (6, 2, 5, 5)
    assert text["kind"] == "ImageRejector"
    assert text["parameters"] == {"shape": [2, 16, 20], "agents": 3, "extra": 2}
    assert text["features"] == 640
    assert text["prices"] == [0.0, 0.0, 0.0]


def test_each_kind_is_sent_to_the_function_that_loads_it(saved, tmp_path):
    save(FixedAgent().fit(np.eye(4), np.eye(4)), tmp_path / "fixed.safetensors")

    with pytest.raises(DataError, match="'ImageRejector', which is unknown here") as caught:
        load(saved[0])
    assert caught.value.hint == "load it with load_module"
    with pytest.raises(DataError, match="'FixedAgent', which is unknown here") as caught:
        load_module(tmp_path / "fixed.safetensors")
    assert caught.value.hint == "load it with load"


class OwnModule(TableRejector):
    """Whose code no card can hold."""


@pytest.mark.parametrize(
    ("rejector", "message"),
    [
        (lambda: TableRejector(4, 3), "save"),
        (lambda: rejector_of(lambda: OwnModule(4, 3, extra=2), (4,)), "a OwnModule cannot be"),
    ],
    ids=["without costs", "own class"],
)
def test_what_settings_do_not_describe_is_not_saved(tmp_path, rejector, message):
    with pytest.raises(ConfigError, match=message):
        save(rejector(), tmp_path / "r.safetensors")
    assert not [*tmp_path.iterdir()]


def test_a_module_that_was_rebuilt_by_hand_is_not_saved(tmp_path):
    rejector = rejector_of(*MODULES["table"])
    rejector.module.layers.append(nn.Linear(3, 3))

    with pytest.raises(ConfigError, match="not those that the parameters give"):
        save(rejector, tmp_path / "r.safetensors")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("shape = [2, 16, 20]", "shape = [2, 16, 21]", "fields are not those|hashes|has .* bytes"),
        ("shape = [2, 16, 20]", "shape = [2, 16, 2000000]", "hashes to|does not hold"),
        ("shape = [2, 16, 20]", "shape = [2, 16, 1000000000000000000]", "parameters are not those"),
        ("shape = [2, 16, 20]", "shape = [2, 15, 20]", "must be at least"),
        ("shape = [2, 16, 20]", "shape = [2, 16]", "parameters are not those"),
        ("shape = [2, 16, 20]", "shape = [2, 16, 20, 1]", "parameters are not those"),
        ("shape = [2, 16, 20]", "shape = [2, 16, 20.0]", "parameters are not those"),
        ("shape = [2, 16, 20]", 'shape = "abc"', "parameters are not those"),
        ("extra = 2", "extra = 0", "hashes|does not hold|has .* bytes"),
        ("extra = 2", "extra = true", "parameters are not those"),
        ("extra = 2", "extra = 2\ncode = 1", "parameters are not those"),
        ("\nagents = 3\n", "\nagents = 4\n", "hashes|does not hold|has .* bytes"),
        ("\nextra = 2\n", "\n", "hashes|does not hold|has .* bytes"),
        ("features = 640", "features = 641", "fields are not those"),
        ("prices = [0.0,", "prices = [0.5,", "fields are not those"),
        ('dtype = "float32"', 'dtype = "float64"', "hashes|does not hold|has .* bytes"),
        ('kind = "ImageRejector"', 'kind = "TableRejector"', "parameters are not those"),
        ('kind = "ImageRejector"', 'kind = "Module"', "unknown here"),
        ("agents = 3\nextra = 2", "extra = 2\nagents = 3", "fields are not those"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_card_that_was_written_to_mislead_is_refused(saved, old, new, message):
    path, card = saved
    text = card.read_text(encoding="utf-8")
    assert old in text

    card.write_bytes(reseal(text.replace(old, new, 1)))

    with pytest.raises(DataError, match=message):
        load_module(path)


VALUES = st.recursive(
    st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=4,
)


@given(st.sampled_from(["shape", "agents", "extra"]), VALUES)
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_settings_say_the_answer_is_a_rejector_or_an_error_of_ours(saved, name, value):
    path, card = saved
    good = card.read_text(encoding="utf-8")
    head, _, tail = good.partition("\n[parameters]\n")
    lines = [
        f"{name} = {toml_value(value)}" if each.startswith(f"{name} = ") else each
        for each in tail.split("\n")
    ]
    forged = reseal(f"{head}\n[parameters]\n" + "\n".join(lines))

    card.write_bytes(forged)
    try:
        loaded = load_module(path)
    except AssistLearnError:
        pass
    else:
        assert save(loaded, path.with_name("again.safetensors")).read_bytes() == forged
    finally:
        card.write_bytes(good.encode())


def test_one_changed_byte_in_the_weights_is_refused(saved):
    path, _ = saved
    good = path.read_bytes()

    for place in range(0, len(good), len(good) // 40):
        changed = bytearray(good)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(changed)
        with pytest.raises(DataError):
            load_module(path)
