"""Learning to help, its rejectors: many settings trained side by side, and what they decide.

An :class:`Arm` is one rejector: a surrogate, costs, what it was told of client and server, what it
sees. Arms that see the same inputs train in one pass, on the same batches from the same initial
weights, so that they differ in their settings alone.

Letters: R rejectors; N training, C calibration, T test examples; B of a batch; K classes.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from assistlearn.deferral.help import (
    LOCAL,
    REMOTE,
    HelpCosts,
    fixed_server_rule,
    rejector_surrogate,
    released_code_surrogate,
)
from assistlearn.deferral.help_training import RejectorLoss
from assistlearn.deferral.two_stage import chosen_agents
from experiments.deferral.devices import CPU, placed
from experiments.deferral.help_pictures import Split
from experiments.deferral.help_setup import (
    ASKED_AT_ONCE,
    CLASSES,
    Scale,
    epoch_order,
    rejector_optimizer,
)
from experiments.deferral.help_world import Client, Interval, World, keep, new_rejector, views

UNSEEN: Final = "unseen"
Form = Literal["literal", "bounded", "released code", "plug-in"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One rejector."""

    form: Form
    costs: HelpCosts
    view: Interval | Literal["unseen"] = 1
    """What it is told of the server: the server itself every S iterations, on examples that the
    server trains on; or whether servers are right that did not train on the example."""
    unseen_client: bool = False
    """Whether it learns from clients that did not train on the example."""
    sees_logits: bool = False
    """Whether it sees the client's logits beside the image."""
    lacks_class: bool = False
    """Whether the client is the one without a class."""

    @property
    def loss(self) -> RejectorLoss:
        """What it is trained on."""
        match self.form:
            case "literal":
                return partial(rejector_surrogate, costs=self.costs)
            case "bounded":
                return partial(rejector_surrogate, costs=self.costs, bounded=True)
            case "released code":
                return partial(released_code_surrogate, costs=self.costs)
            case "plug-in":
                return plug_in_loss


def plug_in_loss(scores_B2: Tensor, client_right_B: Tensor, server_right_B: Tensor) -> Tensor:
    """Binary cross-entropy of "the client is right" and "the server is right"; no costs in it."""
    right_B2 = torch.stack([client_right_B, server_right_B], dim=1).to(scores_B2.dtype)
    losses_B2 = functional.binary_cross_entropy_with_logits(scores_B2, right_B2, reduction="none")
    return losses_B2.sum(dim=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """What a rejector says of examples that no model was trained on. ``(C, 2)``, ``(T, 2)``."""

    calibration: Tensor
    test: Tensor


def decisions(arm: Arm, scores_B2: Tensor, costs: HelpCosts | None = None) -> Tensor:
    """LOCAL or REMOTE for each example. Only the plug-in can be asked for other costs. ``(B,)``."""
    if arm.form != "plug-in":
        return chosen_agents(scores_B2)
    chances_B2 = scores_B2.sigmoid()
    return fixed_server_rule(chances_B2[:, LOCAL], chances_B2[:, REMOTE], costs or arm.costs)


def trained(  # noqa: PLR0913  # what is trained, on what, and how
    arms: Sequence[Arm],
    data: Split,
    world: World,
    scale: Scale,
    *,
    seed: int,
    folder: Path,
    device: torch.device = CPU,
) -> dict[Arm, Scores]:
    """Train all arms, or read what is in ``folder`` of them.

    Args:
        arms: the settings.
        data: the examples.
        world: what clients and server make of them.
        scale: how long, at which rate.
        seed: of initial weights and order of batches.
        folder: keeps the scores of each group of arms.
        device: where to train.
    """
    found: dict[Arm, Scores] = {}
    for group in _groups(arms):
        digest = hashlib.sha256(repr(group).encode()).hexdigest()
        path = folder / f"rejectors-{digest[:16]}.safetensors"
        if not path.exists():
            keep(path, side_by_side(group, data, world, scale, seed=seed, device=device))
        kept = load_file(path)
        for number, arm in enumerate(group):
            found[arm] = Scores(calibration=kept["calibration"][number], test=kept["test"][number])
    return found


def _groups(arms: Iterable[Arm]) -> list[list[Arm]]:
    """Arms that see the same inputs; without logits these are the images alone."""
    groups: dict[tuple[bool, ...], list[Arm]] = {}
    for arm in dict.fromkeys(arms):
        sees = (True, arm.unseen_client, arm.lacks_class) if arm.sees_logits else (False,)
        groups.setdefault(sees, []).append(arm)
    return [*groups.values()]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Facts:
    """What one arm is told of the training examples."""

    client_right: Tensor
    """Shape ``(N,)``."""
    server_right: Tensor
    """In each epoch. Shape ``(E, N)``."""


def facts_of(arm: Arm, data: Split, world: World, scale: Scale) -> Facts:
    """What ``arm`` is told."""
    if arm.view == UNSEEN:
        server_right_EN = world.server.unseen.expand(scale.epochs, -1)
    else:
        server_right_EN = world.server.seen[views(scale).index(arm.view)]
    right_N = _client_logits(arm, world).argmax(1) == data.train_labels
    return Facts(client_right=right_N, server_right=server_right_EN)


def _client(arm: Arm, world: World) -> Client:
    return world.lacking if arm.lacks_class else world.client


def _client_logits(arm: Arm, world: World) -> Tensor:
    """What the rejector is told that the client says of training examples. ``(N, K)``."""
    return world.unseen_client if arm.unseen_client else _client(arm, world).train


def side_by_side(  # noqa: PLR0913  # what is trained, on what, and how
    arms: Sequence[Arm],
    data: Split,
    world: World,
    scale: Scale,
    *,
    seed: int,
    device: torch.device = CPU,
) -> dict[str, Tensor]:
    """Train a rejector for each arm, on the summed loss of each batch; all see the same inputs.

    The same as training them one after the other, up to rounding.

    Returns:
        Scores on calibration and test examples, on the CPU. Shapes ``(R, C, 2)``, ``(R, T, 2)``.
    """
    data, world = placed(data, device), placed(world, device)
    arm, losses = arms[0], [each.loss for each in arms]
    facts = [facts_of(each, data, world, scale) for each in arms]
    extra = CLASSES if arm.sees_logits else 0
    template = new_rejector(data.shape, seed=seed, extra=extra).to(device)
    parameters, buffers = stack_module_state([template] * len(arms))
    optimizer = rejector_optimizer(parameters.values(), scale)

    def scored(weights: dict[str, Tensor], inputs: tuple[Tensor, ...]) -> Tensor:
        scores_B2: Tensor = functional_call(template, (weights, buffers), inputs)
        return scores_B2

    all_scored = vmap(scored, in_dims=(0, None))
    seen_NK = _client_logits(arm, world)
    for epoch in range(scale.epochs):
        order = epoch_order(len(data.train), seed=seed, epoch=epoch).to(device)
        for rows_B in torch.split(order, scale.batch_size):
            scores_RB2 = all_scored(parameters, _inputs(arm, data.train, seen_NK, rows_B))
            losses_R = [
                loss(scores_B2, told.client_right[rows_B], told.server_right[epoch, rows_B]).sum()
                for loss, scores_B2, told in zip(losses, scores_RB2, facts, strict=True)
            ]
            optimizer.zero_grad()
            torch.autograd.backward(torch.stack(losses_R).sum())
            optimizer.step()

    @torch.no_grad()
    def on(images: Tensor, logits_BK: Tensor) -> Tensor:
        parts = torch.split(torch.arange(len(images), device=device), ASKED_AT_ONCE)
        inputs = (_inputs(arm, images, logits_BK, rows_B) for rows_B in parts)
        return torch.cat([all_scored(parameters, each) for each in inputs], dim=1).cpu()

    client = _client(arm, world)
    return {
        "calibration": on(data.calibration, client.calibration),
        "test": on(data.test, client.test),
    }


def _inputs(arm: Arm, images: Tensor, logits_NK: Tensor, rows_B: Tensor) -> tuple[Tensor, ...]:
    return (images[rows_B], logits_NK[rows_B]) if arm.sees_logits else (images[rows_B],)
