"""Small simulations for tests: settings that run in a second, and results made by hand."""

from parties.settings import SimulationSettings
from parties.settings_file import check_settings
from parties.simulate.outcome import ASSISTED, METHODS, MethodRound, MethodRun
from parties.simulate.results import Results


def small_settings(**changes):
    """Digits with a linear model: three rounds of 12 updates. Keys go to their own section."""
    table = {
        "seeds": [0, 1],
        "terms": {
            "task": "digits",
            "rounds": 3,
            "total_steps": 12,
            "sampling_period": 3,
            "price": 5000,
            "budget": 15000,
        },
        "task": {
            "factory": "assistlearn.tasks:digits",
            "device": "cpu",
            "threads": 1,
            "settings": {"model": "linear"},
        },
        "split": {"imbalance": 0.2},
    }
    for name, value in changes.items():
        if name in SimulationSettings.model_fields:
            table[name] = value
        elif name == "imbalance":
            table["split"][name] = value
        elif name in {"device", "wire_dtype"}:
            table["task"][name] = value
        elif name in {"model", "optimizer_settings", "model_settings"}:
            table["task"]["settings"][name] = value
        else:
            table["terms"][name] = value
    table["terms"] = {name: v for name, v in table["terms"].items() if v is not None}
    return check_settings(table, SimulationSettings, name="test.toml")


def made_round(number, accuracy, loss=None, sent=100, received=300):
    """A round as it might have been."""
    return MethodRound(
        round=number,
        global_loss=1 - accuracy if loss is None else loss,
        metrics={"accuracy": accuracy},
        sent_bytes=sent if number else 0,
        received_bytes=received if number else 0,
        seconds=float(number > 0),
    )


def made_results(curves, *, settings=None):
    """Results from ``{method: [accuracies of seed 0, accuracies of seed 1, ...]}``."""
    seeds = list(range(len(next(iter(curves.values())))))
    runs = [
        MethodRun(
            seed=seed,
            method=method,
            rounds=tuple(made_round(n, a) for n, a in enumerate(by_seed[seed])),
        )
        for method, by_seed in curves.items()
        for seed in seeds
    ]
    assert set(curves) <= set(METHODS)
    assert ASSISTED in curves
    return Results(settings=settings or small_settings(seeds=seeds), runs=tuple(runs))
