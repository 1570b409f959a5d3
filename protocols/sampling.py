"""Which steps of a local training become checkpoints, and how many steps each party makes."""

from enum import StrEnum
from typing import Final

from assistlearn.errors import LocalProtocolError

MAX_CHECKPOINTS: Final = 4096  # in one trajectory; keeps its closing list under 1 MiB


class Sampling(StrEnum):
    """How far apart the sampled steps are (SPEC 3.1)."""

    EVEN = "even"
    """0, I, 2I, 3I, ...: the paper's."""
    DOUBLING = "doubling"
    """0, I, 2I, 4I, 8I, ...: dense where a handed-over model changes most, and few."""


def sampled_steps(
    steps: int,
    period: int,
    *,
    sampling: Sampling = Sampling.EVEN,
    include_last: bool = True,
) -> tuple[int, ...]:
    """The sampling grid: the strategy's steps below T, and T itself (SPEC 3.1).

    Source: AssistDeep, Algorithm 1 (arXiv:2109.09307), where the grid is even and the last
    update is not a candidate; ``include_last=False`` is that literal rule. Step k is the model
    after k updates.

    Args:
        steps: updates T of one local training, at least 1.
        period: sampling period I, at least 1: the first sampled step after 0.
        sampling: whether the steps grow by I or by a factor of two from there.
        include_last: whether the model after all T updates is a candidate.

    Raises:
        LocalProtocolError: ``steps`` or ``period`` is below 1, or there are more than
            ``MAX_CHECKPOINTS`` steps; none are listed then, as a peer may have named the numbers.
    """
    if steps < 1 or period < 1:
        raise LocalProtocolError(f"steps is {steps} and period is {period}, both must be >= 1")
    if sampling is Sampling.EVEN:
        below: range | tuple[int, ...] = range(0, steps, period)
    else:
        doublings = (steps - 1) // period  # I * 2**k < T means 2**k <= (T - 1) // I
        below = (0, *(period << k for k in range(doublings.bit_length())))
    if len(below) + include_last > MAX_CHECKPOINTS:
        raise LocalProtocolError(
            f"more than {MAX_CHECKPOINTS} checkpoints in a trajectory of {steps} updates",
            hint="raise sampling_period, or set sampling to doubling",
        )
    return (*below, steps) if include_last else tuple(below)


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
