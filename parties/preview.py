"""What would leave this house, before anything does: facts, and the same in plain words."""

from collections.abc import Iterator, Mapping
from typing import Any

from assistlearn.checkpoints import ModelSpec
from parties.directory import PartyDirectory
from parties.gate.handshake import round_bytes_bound
from parties.gate.worker import WorkerProcess
from parties.output import format_bytes, format_money
from protocols.agreement import LossPrecision, Terms, Weighting
from protocols.roles import Role
from protocols.sampling import Sampling


def previewed(directory: PartyDirectory) -> dict[str, Any]:
    """What a session under these settings would send. Connects nowhere.

    Raises:
        AssistLearnError: the settings, the task or its data are not in order.
    """
    settings = directory.settings
    terms = settings.terms.terms()
    peers = directory.cards()
    role = Role(settings.role)
    if peers and role is Role.LEARNER:
        directory.only_peer()  # as a session would; without any card it is said further below
    worker = WorkerProcess(directory.root)
    try:
        described = worker.describe()
    finally:
        worker.stop()
    spec = ModelSpec.parse(described.spec)
    steps = terms.learner_steps if role is Role.LEARNER else terms.provider_steps
    # Where the split depends on the peer's data size, the most that it can be.
    at_most = steps or (terms.total_steps or 2) - 1
    checkpoints = len(terms.grid(at_most))
    return {
        "role": role.value,
        "to": [{"name": card.name, "fingerprint": card.short} for card in peers.values()],
        "address": settings.link.provider or settings.link.listen,
        "tensors": len(spec.tensors),
        "buffers": list(spec.buffers),
        "elements": spec.elements,
        "dtypes": sorted({tensor.dtype.value for tensor in spec.tensors}),
        "checkpoint_bytes": spec.file_bytes,
        "model": spec.digest,
        "steps": steps,
        "steps_at_most": at_most,
        "sampling": terms.sampling.value,
        "sampling_period": terms.sampling_period,
        "checkpoints_per_round": checkpoints,
        "bytes_per_round": round_bytes_bound(checkpoints, spec),
        "quota_per_round": terms.round_bytes,
        "rounds": terms.affordable_rounds,
        "loss_precision": terms.loss_precision.value,
        "losses_per_round": checkpoints,
        "samples_told": described.samples if terms.weighting is Weighting.SAMPLES else None,
        "price": terms.price,
        "budget": terms.budget,
        "currency": terms.currency,
        "loss_in_words": _losses(terms),
    }


def preview_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """The facts in plain words."""
    names = ", ".join(f"{peer['name']} ({peer['fingerprint']})" for peer in facts["to"])
    verb = "to" if facts["role"] == "learner" else "listening at"
    yield "nothing has left yet, and no connection was made. A session would send:"
    yield ""
    yield f"  to      {names or 'nobody: no card is on file'}, {verb} {facts['address']}"
    yield (
        f"  model   {facts['tensors']} tensors of {facts['elements']:,} numbers"
        f" ({', '.join(facts['dtypes'])}), {format_bytes(facts['checkpoint_bytes'])} a checkpoint"
    )
    if facts["buffers"]:
        yield f"          of these {len(facts['buffers'])} are buffers (running statistics)"
    exactly = "" if facts["steps"] else "up to "
    yield (
        f"  rounds  up to {facts['rounds']}; in each, {exactly}{facts['checkpoints_per_round']}"
        f" checkpoints, {_spacing(facts)} of {exactly}{facts['steps_at_most']} updates"
    )
    yield (
        f"  bytes   up to {format_bytes(facts['bytes_per_round'])} a round; more than"
        f" {format_bytes(facts['quota_per_round'])} cannot leave"
    )
    yield f"  losses  one for each checkpoint, {facts['loss_in_words']}"
    count = facts["samples_told"]
    told = "not told" if count is None else f"told: {count:,} examples"
    yield f"  size    how much data there is here is {told}"
    price = format_money(facts["price"], facts["currency"])
    yield f"  price   {price} a round, at most {format_money(facts['budget'], facts['currency'])}"
    yield ""
    yield "never sent: records, labels, file names, this party's settings, optimiser state."
    yield "what a model learnt from the data does leave: checkpoints and losses are information"
    yield "about them, and the other party keeps what it received. README, Limits, says how much."


def _spacing(facts: Mapping[str, Any]) -> str:
    period = facts["sampling_period"]
    if facts["sampling"] == Sampling.EVEN:
        return f"one every {period}"
    return f"after {period}, {2 * period}, {4 * period}, ..."


def _losses(terms: Terms) -> str:
    match terms.loss_precision:
        case LossPrecision.EXACT:
            return (
                "exact. An exact loss of a model that the other side chose can give labels away;"
                " use coarse or private outside of studies"
            )
        case LossPrecision.COARSE:
            return f"in 8 bits, each example clipped at {terms.loss_clip:g}"
        case LossPrecision.PRIVATE:
            return (
                f"in 8 bits with noise of {terms.loss_noise:g} on the mean, each example clipped"
                f" at {terms.loss_clip:g}, and never of a model that the other side chose"
            )
