"""Minimisers of small exact problems, to hold theorems against."""

import torch


def minimise(loss, start, *, steps=500):
    """Where L-BFGS ends from ``start`` (float64); the global minimum if ``loss`` is convex."""
    point = start.double().clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [point],
        max_iter=steps,
        tolerance_grad=1e-12,
        tolerance_change=1e-15,
        history_size=30,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        value = loss(point)
        value.backward()
        return value

    optimizer.step(closure)
    return point.detach()


def random_costs(seed, *, examples, agents):
    """Costs in [0, 1], float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(examples, agents, generator=generator, dtype=torch.float64)


def random_scores(seed, *, examples, agents):
    """Scores of either sign, float64."""
    generator = torch.Generator().manual_seed(seed + 1)
    return 2 * torch.randn(examples, agents, generator=generator, dtype=torch.float64)
