"""Which steps of a local training become checkpoints, and how many steps each party makes."""

from assistlearn.errors import LocalProtocolError


def sampled_steps(steps: int, period: int, *, include_last: bool = True) -> tuple[int, ...]:
    """The sampling grid: 0, I, 2I, ... below T, and T itself (SPEC 3.1).

    Source: AssistDeep, Algorithm 1 (arXiv:2109.09307), where the last update is not a
    candidate; ``include_last=False`` is that literal rule. Step k is the model after k updates.

    Args:
        steps: updates T of one local training, at least 1.
        period: sampling period I, at least 1.
        include_last: whether the model after all T updates is a candidate.

    Raises:
        LocalProtocolError: ``steps`` or ``period`` is below 1.
    """
    if steps < 1 or period < 1:
        raise LocalProtocolError(f"steps is {steps} and period is {period}, both must be >= 1")
    grid = tuple(range(0, steps, period))
    return (*grid, steps) if include_last else grid


def split_steps(total: int, learner_samples: int, provider_samples: int) -> tuple[int, int]:
    """Share ``total`` updates in proportion to the data sizes, at least one each.

    Source: AssistDeep, section 4.1 (arXiv:2109.09307). Rounds half up, in integers, so that
    both parties get the same answer.

    Returns:
        The learner's T and the provider's T', which add up to ``total``.

    Raises:
        LocalProtocolError: ``total`` is below 2 or a party has no samples.
    """
    if total < 2 or min(learner_samples, provider_samples) < 1:  # noqa: PLR2004  (one step each)
        raise LocalProtocolError(
            f"cannot share {total} steps between {learner_samples} and {provider_samples} samples",
            hint="set learner_steps and provider_steps instead of total_steps",
        )
    samples = learner_samples + provider_samples
    learner_steps = (2 * total * learner_samples + samples) // (2 * samples)
    learner_steps = min(max(learner_steps, 1), total - 1)
    return learner_steps, total - learner_steps
