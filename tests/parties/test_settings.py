"""Settings files: what is accepted, and what a person is told about a bad one."""

import math

import pytest

from assistlearn.errors import ConfigError
from parties.output import format_money
from parties.settings import (
    LOSS_BOUND,
    PartySettings,
    SimulationSettings,
    SimulationTermsSettings,
    TermsSettings,
)
from parties.settings_file import check_settings, load_settings
from parties.template import config_text
from protocols.agreement import LossPrecision, Side, Terms, Weighting, draw_up
from protocols.roles import Role
from protocols.sampling import Sampling

LEARNER = """
role = "learner"

[terms]
task = "digits"
rounds = 3
total_steps = 300

[task]
factory = "assistlearn.tasks:digits"

[task.settings]
batch_size = 32

[link]
provider = "tcp://provider.example:7733"
"""
PROVIDER = LEARNER.replace('"learner"', '"provider"').replace("provider = ", "listen = ")


def problems(text, tmp_path, kind=PartySettings):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, kind)
    assert caught.value.hint
    return str(caught.value)


def load(text, tmp_path, kind=PartySettings):
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load_settings(path, kind)


def test_a_short_file_is_enough_and_every_other_value_is_a_documented_default(tmp_path):
    settings = load(LEARNER, tmp_path)

    assert settings.link.deadline_s == 30
    assert settings.terms.loss_precision == "coarse"
    assert settings.task.settings == {"batch_size": 32}
    for kind in (TermsSettings, PartySettings, SimulationSettings):
        for name, field in kind.model_fields.items():
            is_table = name in {"terms", "task", "link", "split"}
            assert is_table or field.description, f"{kind.__name__}.{name} says nothing"


def test_terms_settings_have_the_names_of_the_terms_that_both_parties_sign(tmp_path):
    assert list(TermsSettings.model_fields) == list(Terms.__dataclass_fields__)

    terms = load(LEARNER, tmp_path).terms.terms()

    assert terms.weighting is Weighting.SAMPLES
    assert terms.loss_precision is LossPrecision.COARSE
    side = Side(fingerprint="a" * 64, nonce="b" * 64, sealing_key="c" * 64, samples=5)
    assert (
        draw_up(terms, learner=side, provider=side, model="d" * 64, data="e" * 64).learner_steps
        == 150
    )


def test_sampling_is_even_unless_the_file_says_doubling(tmp_path):
    doubling = LEARNER.replace("rounds = 3", 'rounds = 3\nsampling = "doubling"')

    assert load(LEARNER, tmp_path).terms.terms().sampling is Sampling.EVEN
    assert load(doubling, tmp_path).terms.terms().sampling is Sampling.DOUBLING


def test_private_losses_with_noise_are_accepted_as_the_template_words_them(tmp_path):
    text = config_text(Role.LEARNER).replace('"coarse" ', '"private" ')
    assert "needs a loss_noise above 0" in problems(text, tmp_path)

    settings = load(text.replace("# loss_noise", "loss_noise"), tmp_path)

    assert settings.terms.terms().loss_precision is LossPrecision.PRIVATE
    assert settings.terms.loss_noise > 0


@pytest.mark.parametrize("name", ["loss_clip", "loss_noise"])
def test_the_largest_decimals_of_losses_can_be_agreed_on(tmp_path, name):
    largest = math.nextafter(LOSS_BOUND, 0)
    private = f'rounds = 3\nloss_precision = "private"\nloss_noise = 1\n{name} = {largest!r}'
    private = private.replace("loss_noise = 1\nloss_noise", "loss_noise")
    terms = load(LEARNER.replace("rounds = 3", private), tmp_path).terms.terms()
    side = Side(fingerprint="a" * 64, nonce="b" * 64, sealing_key="c" * 64, samples=5)

    agreed = draw_up(terms, learner=side, provider=side, model="d" * 64, data="e" * 64)

    assert float(getattr(agreed, name)) == largest


def test_amounts_are_said_to_be_what_is_shown_of_them_in_any_currency():
    described = {name: TermsSettings.model_fields[name].description for name in ("price", "budget")}

    shown = format_money(5000, "JPY")

    assert shown == "50.00 JPY"
    assert all("in hundredths of the currency" in (text or "") for text in described.values())
    assert "cents" not in config_text(Role.LEARNER)


def test_losses_are_exact_in_a_simulation_unless_the_file_says_otherwise():
    terms = SimulationTermsSettings(task="x", total_steps=2)

    assert terms.loss_precision == "exact"


def test_all_problems_are_reported_at_once_with_key_and_value(tmp_path):
    bad = (
        LEARNER.replace("rounds = 3", 'rounds = "three"\nround_byte = 5\nloss_clip = inf')
        .replace("total_steps = 300", "")
        .replace('"assistlearn.tasks:digits"', '"digits"')
        .replace('"learner"', '"lerner"')
    )

    text = problems(bad, tmp_path)

    assert text.splitlines() == [
        f"{tmp_path / 'config.toml'} has 6 problems:",
        "  role: 'lerner' is not 'learner' or 'provider', did you mean learner?",
        "  task.factory: 'digits' must read package.module:function",
        "  terms.loss_clip: inf is not a finite number",
        "  terms.round_byte: unknown, did you mean round_bytes?",
        "  terms.rounds: 'three' is not a whole number",
        "  terms.total_steps: missing, or else both learner_steps and provider_steps",
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("rounds = 3", "rounds = 0", "terms.rounds: 0 should be greater than or equal to 1"),
        ("rounds = 3", "rounds = true", "terms.rounds: True is not a whole number"),
        ("rounds = 3", "rounds = 3.5", "terms.rounds: 3.5 is not a whole number"),
        ("rounds = 3", "learner_steps = 2", "terms.total_steps: given beside learner_steps"),
        ("rounds = 3", 'weighting = "parties"', "terms.total_steps: cannot be shared where"),
        ("rounds = 3", "price = 50.0", "terms.price: 50.0 is not a whole number; amounts are in"),
        ("rounds = 3", "price = 9", "terms.budget: 0 does not pay for one round at price 9"),
        ("rounds = 3", 'currency = "euro"', "terms.currency: 'euro' must be three capital"),
        ("rounds = 3", "include_last = 1", "terms.include_last: 1 is neither true nor false"),
        ("rounds = 3", 'sampling = "doublng"', "terms.sampling: 'doublng' is not 'even' or"),
        ('"digits"', '"a b"', "terms.task: 'a b' must be 1 to 64 of"),
        ("tcp://provider.example:7733", "provider:7733", "must read tcp://HOST:PORT"),
        (":7733", ":77330", "must read tcp://HOST:PORT"),
        ('provider = "tcp://provider.example:7733"', "", "link.provider: missing"),
        ("[link]", "[link]\nsessions = 2", "link.sessions: only a provider has this"),
        ("[link]", "[lnk]", "lnk: unknown, did you mean link?"),
        (
            "rounds = 3",
            'loss_precision = "private"',
            "terms.loss_precision: 'private' needs a loss_noise above 0",
        ),
        (
            "rounds = 3",
            'loss_precision = "private"\nloss_noise = 0.0',
            "terms.loss_precision: 'private' needs a loss_noise above 0",
        ),
        ("rounds = 3", "loss_noise = 0.1", "0.1 has no effect on losses that are coarse, remove"),
        (
            "rounds = 3",
            'loss_precision = "exact"\nloss_noise = 0.1',
            "terms.loss_noise: 0.1 has no effect on losses that are exact",
        ),
        ("rounds = 3", "loss_clip = 1e20", "terms.loss_clip: 1e+20 should be less than"),
        ('role = "learner"', "", "role: missing"),
        ('role = "learner"', 'role = "learner"\nname = "clinic"', "  name: unknown"),
        ("[task.settings]\nbatch_size = 32", "settings = 3", "task.settings: 3 is not a table"),
    ],
)
def test_a_bad_value_is_named_where_it_stands(old, new, told, tmp_path):
    assert old in LEARNER

    assert told in problems(LEARNER.replace(old, new), tmp_path)


def test_keys_of_the_other_role_are_refused(tmp_path):
    load(PROVIDER, tmp_path)
    crossed = PROVIDER.replace("[terms]", "minimum_gain = 0.1\n[terms]")

    assert "minimum_gain: only a learner has this" in problems(crossed, tmp_path)
    assert "link.listen: missing" in problems(PROVIDER.replace("listen =", "provider ="), tmp_path)


def test_a_missing_unreadable_or_malformed_file_is_a_config_error_with_a_hint(tmp_path):
    with pytest.raises(ConfigError, match="there is no file"):
        load_settings(tmp_path / "absent.toml", PartySettings)
    with pytest.raises(ConfigError, match="cannot read"):
        load_settings(tmp_path, PartySettings)
    assert "line 2" in problems("a = 1\nb = what\n", tmp_path)
    path = tmp_path / "config.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_settings(path, PartySettings)


def test_simulation_settings_name_unknown_baselines_and_repeated_seeds():
    table = {
        "seeds": [1, 1],
        "baselines": ["fedavgg"],
        "terms": {"task": "x", "total_steps": 2},
        "task": {"factory": "a:b"},
        "split": {"imbalance": 2},
    }

    with pytest.raises(ConfigError) as caught:
        check_settings(table, SimulationSettings, name="s.toml")
    assert "did you mean fedavg?" in str(caught.value)
    assert "split.imbalance: 2 should be less than or equal to 1" in str(caught.value)

    table |= {"baselines": [], "split": {"imbalance": 0.5}}
    with pytest.raises(ConfigError, match="seeds has one entry twice"):
        check_settings(table, SimulationSettings, name="s.toml")
