"""What assisted learning is compared with, made by the same trainers from the same start.

The methods of a single site make T + T' updates in a round, so that every method does the same
work. A local training that diverges leaves the model as it was before the round.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from assistlearn.checkpoints.tensors import load_checkpoint, save_checkpoint
from assistlearn.training import Trainer
from parties.simulate.outcome import MethodRound
from parties.simulate.sites import Sites
from parties.simulate.traffic import model_bytes
from protocols.agreement import Weighting
from protocols.roles import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A method's model after one round, and how many models crossed for it."""

    digest: str
    sent: int = 0
    """Models from the learner to the provider."""
    received: int = 0
    """Models from the provider to the learner."""


def learner_only(sites: Sites) -> Iterator[Turn]:
    """The learner trains alone. Nothing crosses."""
    for digest in _alone(sites, sites.trainers[Role.LEARNER]):
        yield Turn(digest=digest)


def provider_only(sites: Sites) -> Iterator[Turn]:
    """The provider trains alone and hands over its model after each round."""
    for digest in _alone(sites, sites.trainers[Role.PROVIDER]):
        yield Turn(digest=digest, received=1)


def pooled(sites: Sites) -> Iterator[Turn]:
    """One site has both parties' data: the oracle that neither may build.

    Models do not cross here, data do; no bytes are counted.
    """
    for digest in _alone(sites, sites.pooled):
        yield Turn(digest=digest)


def sequential_last(sites: Sites) -> Iterator[Turn]:
    """As assisted learning, but the last model is always handed over: no selection."""
    digest = sites.start
    for round_ in _rounds(sites):
        for role in Role:
            steps = sites.agreement.steps(role)
            digest = _trained(sites.trainers[role], digest, round_=round_, steps=steps)
        yield Turn(digest=digest, sent=1, received=1)
        sites.store.keep_only({digest, sites.start})


def fedavg(sites: Sites) -> Iterator[Turn]:
    """Federated averaging of T and T' local updates, weighted as the global loss is.

    Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from
    Decentralized Data" (arXiv:1602.05629), with both parties in every round. Floating-point
    buffers are averaged with the same weights; counters are the provider's.
    """
    model = sites.tasks[Role.LEARNER].build_model()
    other = sites.tasks[Role.LEARNER].build_model()
    weights = _weights(sites)
    digest = sites.start
    for round_ in _rounds(sites):
        trained = {
            role: _trained(
                sites.trainers[role], digest, round_=round_, steps=sites.agreement.steps(role)
            )
            for role in Role
        }
        load_checkpoint(model, sites.spec, sites.store.path(trained[Role.LEARNER]))
        load_checkpoint(other, sites.spec, sites.store.path(trained[Role.PROVIDER]))
        average_into(model, other, weight=weights[Role.LEARNER])
        averaged = save_checkpoint(model, sites.spec, sites.store)
        assert averaged is not None  # a mean of finite models is finite
        digest = averaged
        yield Turn(digest=digest, sent=1, received=1)
        sites.store.keep_only({digest, sites.start})


def average_into(model: nn.Module, other: nn.Module, *, weight: float) -> None:
    """Set ``model`` to ``weight * model + (1 - weight) * other``, in place.

    Computed in float64. Integer buffers are taken from ``other``: half a batch counted is none.
    """
    others = other.state_dict()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                mean = weight * tensor.cpu().double() + (1 - weight) * others[name].cpu().double()
                tensor.copy_(mean)
            else:
                tensor.copy_(others[name])


BASELINE_METHODS: Final[Mapping[str, Callable[[Sites], Iterator[Turn]]]] = {
    "learner_only": learner_only,
    "provider_only": provider_only,
    "pooled": pooled,
    "sequential_last": sequential_last,
    "fedavg": fedavg,
}


def baseline(sites: Sites, name: str) -> Iterator[MethodRound]:
    """The rounds of one baseline, evaluated like those of :func:`session.assisted`."""
    size = model_bytes(sites.spec.file_bytes)
    started = time.perf_counter()
    for round_, turn in enumerate(BASELINE_METHODS[name](sites), 1):
        seconds = time.perf_counter() - started
        yield MethodRound(
            round=round_,
            global_loss=sites.global_loss(turn.digest),
            metrics=sites.metrics(turn.digest),
            sent_bytes=turn.sent * size,
            received_bytes=turn.received * size,
            seconds=seconds,
        )
        started = time.perf_counter()


def _rounds(sites: Sites) -> range:
    return range(1, sites.agreement.affordable_rounds + 1)


def _alone(sites: Sites, trainer: Trainer) -> Iterator[str]:
    digest = sites.start
    steps = sum(sites.agreement.steps(role) for role in Role)
    for round_ in _rounds(sites):
        digest = _trained(trainer, digest, round_=round_, steps=steps)
        yield digest
        sites.store.keep_only({digest, sites.start})


def _trained(trainer: Trainer, start: str, *, round_: int, steps: int) -> str:
    sample = trainer.train(
        round_=round_,
        start=start,
        from_step=0,
        to_step=steps,
        first_update=(round_ - 1) * steps,
        last=True,
    )
    return sample.digest or start


def _weights(sites: Sites) -> Mapping[Role, float]:
    if sites.agreement.weighting is Weighting.PARTIES:
        return dict.fromkeys(Role, 0.5)
    total = sum(sites.samples.values())
    return {role: sites.samples[role] / total for role in Role}
