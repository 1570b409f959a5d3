"""The same study with less work: for trying out, never for quoting."""

from assistlearn.errors import ConfigError
from parties.settings import SimulationSettings


def scaled_down(settings: SimulationSettings, factor: float) -> tuple[SimulationSettings, str]:
    """Multiply rounds, steps and sampling period by ``factor``, and say so.

    The number of checkpoints in a round stays about the same, so bytes of a round do too.

    Returns:
        The new settings, and one sentence on how they differ; empty for a factor of 1.

    Raises:
        ConfigError: the factor is not in (0, 1].
    """
    if not 0 < factor <= 1:
        raise ConfigError(
            f"the scale is {factor:g}, must be above 0 and at most 1", hint="try --scale 0.1"
        )
    if factor == 1:
        return settings, ""
    terms = settings.terms
    least = {"rounds": 1, "total_steps": 2, "learner_steps": 1, "provider_steps": 1}
    least["sampling_period"] = 1
    changes, words = {}, []
    for name, minimum in least.items():
        value = getattr(terms, name)
        if value is None:
            continue
        changes[name] = max(minimum, round(factor * value))
        words.append(f"{name} {changes[name]} for {value}")
    smaller = settings.model_copy(update={"terms": terms.model_copy(update=changes)})
    return smaller, (
        f"scaled down by {factor:g}: {', '.join(words)}. These are not the study's figures."
    )
