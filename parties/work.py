"""A machine's wish carried out with the data: the same code in a worker and in a simulation."""

from assistlearn.training import Sample, Trainer
from protocols.events import Sampled, Scored, Train, Work
from protocols.selection import Criterion


def carry_out(work: Work, trainer: Trainer, criterion: Criterion) -> Sampled | Scored:
    """Train on to the next sampled step, or score a checkpoint, and say what came of it.

    Raises:
        TaskError: the task failed.
        StorageError: a file is missing, or the disk is full, read-only or failing.
    """
    if isinstance(work, Train):
        sample = trainer.train(
            round_=work.round,
            start=work.start,
            from_step=work.from_step,
            to_step=work.to_step,
            first_update=work.first_update,
            last=work.last,
        )
        return sampled(sample)

    def hopeless(partial_total: float) -> bool:
        return criterion.cannot_win(work.report, best=work.best, own_partial=partial_total)

    return Scored(digest=work.digest, loss=trainer.score(work.digest, hopeless=hopeless))


def sampled(sample: Sample) -> Sampled:
    """What a machine is told of a sample."""
    return Sampled(
        step=sample.step, digest=sample.digest or "", loss=sample.loss, noise=sample.noise
    )
