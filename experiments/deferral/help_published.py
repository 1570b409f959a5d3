"""Learning to help, ours beside the published numbers: how they differ, and why."""

from collections.abc import Iterator
from typing import Final

from assistlearn.deferral.report.tables import cell
from experiments.deferral.help_results import PUBLISHED
from experiments.deferral.help_setup import MISSING_CLASS, PAPER, Scale
from experiments.deferral.help_show import Findings
from experiments.deferral.help_tables import (
    GROUPS,
    STANDS_FOR,
    TABLE_1_PUBLISHED,
    TABLE_6_PUBLISHED,
    implied,
)

WIDE: Final = 0.25  # half-width of a reject rate's interval that says that seeds disagree


def differences(data: str, found: Findings, scale: Scale) -> Iterator[str]:
    """One sentence for each published table, ours by the published recipe, and a reason."""
    source = STANDS_FOR[data]
    local, remote = TABLE_1_PUBLISHED[source]
    there = implied((local, remote))
    client, server = (cell(found.models[each][2], percent=True) for each in ("client", "server"))
    row = found.steps[PUBLISHED]
    yield (
        f"{data} beside {source}, the models: client {100 * there.client:.1f} and server"
        f" {100 * there.server:.1f} % published, {client} and {server} % here, as"
        f" {_why(data, scale)}."
    )
    wide = row.reject_rate.half_width > WIDE
    yield (
        f"{data} beside {source}, Table 1: reject rate {100 * remote.ratio:.1f} %, system"
        f" {100 * there.system:.1f} % and a loss {there.loss - there.all_local:+.3f} beside never"
        f" asking published; {cell(row.reject_rate, percent=True)} %,"
        f" {cell(row.accuracy, percent=True)} % and {cell(row.minus_all_local)} here, for the same"
        " reason. One run without an interval there, an interval over"
        f" {row.reject_rate.count} seeds here"
        f"{', which differ widely: the surrogate is unbounded below' if wide else ''}."
    )
    group = GROUPS[0]
    asked = found.missing[PUBLISHED].reject_rate[group]
    right = found.missing[PUBLISHED].accuracy[group]
    yield (
        f"{data} beside SVHN, Table 6: of the class that the client never saw"
        f" {100 * TABLE_6_PUBLISHED['reject rate'][group]:.1f} % asked and"
        f" {100 * TABLE_6_PUBLISHED['jointly'][group]:.1f} % right published,"
        f" {cell(asked, percent=True)} and {cell(right, percent=True)} % here for class"
        f" {MISSING_CLASS}: its costs are not known, ours are those of Table 1."
    )


def _why(data: str, scale: Scale) -> str:
    if scale == PAPER:
        size = f"{scale.images:,} images were trained on, not all"
    else:
        size = (
            f"models are smaller and saw {scale.images:,} images of {scale.pixels}x{scale.pixels}"
            " pixels only"
        )
    return size if STANDS_FOR[data] == data else f"these are other images; besides, {size}"
