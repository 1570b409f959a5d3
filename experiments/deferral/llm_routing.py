"""Which language model answers: expert imbalance with real outcomes, and what margins do about it.

    python -m experiments.deferral.llm_routing --data DIR [--seeds N] [--scale X] [--quick]

Six sets of recorded outcomes with two to eleven models (RouteLLM, arXiv:2406.18665; RouterDC,
arXiv:2409.19886; LLMRouter; RouterBench, arXiv:2403.12031). A rejector sees 32 components of the
prompt's hashed words, and the prompt's task or subject where the file has it. It asks one model;
what that costs is the error plus a price. Every loss is tuned alike on held-out rows
(``common.py``). Each seed is another random division of all rows into training and test.

The six published numbers of MILD (arXiv:2604.27723) are about images, with costs, experts and
imbalance that are not known: nothing here can stand beside them. Its losses here are a
reconstruction. No file says how confident a model is, so there is no confidence threshold.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from assistlearn.deferral.rejectors import PlugInRejector
from assistlearn.deferral.report import (
    Report,
    Trial,
    deferral_report,
    spread,
)
from assistlearn.deferral.report.tables import cell
from experiments.deferral.common import (
    BEST_AGENT,
    EQUAL,
    FEW_EXPONENTS,
    GAP,
    HINGE,
    MILD,
    RAMP,
    Candidate,
    Decided,
    cache_option,
    candidates,
    data_option,
    decided,
    joined,
    kept,
    kinked_candidates,
    one_thread,
    rounded,
)
from experiments.deferral.llm_figure import draw
from experiments.deferral.llm_outcomes import (
    COMPONENTS,
    DOLLAR,
    OVERLAP,
    Prompts,
    lesson,
    llmrouter,
    routellm,
    routerbench,
    routerdc,
)
from experiments.deferral.llm_quality import MIXED, cost_quality, gap_table, recovered
from experiments.deferral.tables import margins_chosen, paired, plain, shares, table
from experiments.study import RESULTS, write_results

NAME: Final = "defer_llm_routing"
DOLLARS: Final = (1.0, 3.0, 10.0, DOLLAR, 100.0, 300.0)  # for cost against quality
BARS: Final = "RouterDC, 5 tasks (7)"  # the set whose shares are drawn
ALIKE: Final = (GAP, "mao_2023", "one_vs_all", "layered_mass", "plug-in")
BY_TASK: Final = "task's best agent"
PLAIN: Final = str.maketrans({" ": "_", ",": "", "(": "", ")": ""})
VALIDATED: Final = (MILD, HINGE, RAMP)
SHORT: Final = (EQUAL, MILD, GAP, "mao_2023", "log_mass", "plug-in")
SETS: Final[Mapping[str, Callable[[Path], Prompts]]] = {
    "RouteLLM MMLU (2)": partial(routellm, dataset="mmlu"),
    "RouteLLM GSM8K (2)": partial(routellm, dataset="gsm8k"),
    "RouterDC, 5 tasks (7)": routerdc,
    "RouterDC MMLU (7)": partial(routerdc, tasks=("mmlu",)),
    "LLMRouter (9)": llmrouter,
    "RouterBench, 3 tasks (11)": routerbench,
}


SCALED: Final = (
    "linear rejectors on 32 components of hashed words and the task, where published routers"
    " fine-tune language models or embed with them; RouterBench is 3 of its 8 tasks"
)
NOTE: Final = (
    "deferral loss: mean error and price of the model asked; minus equal margins: paired by seed;"
    " over random: saved against the same shares at random; recall: of the prompts where a model"
    " is the only cheapest, how many it gets. No confidence is recorded, so none is thresholded."
)
NO_ONE_STAGE: Final = (
    "no one-stage method: no file has right classes to name, only how well each model answered. Of"
    f" hinge and ramp, e from {len(FEW_EXPONENTS)} exponents, best of at most 40 epochs from the"
    " log loss; without early stop all 40"
)
AIQ_NOTE: Final = (
    "mean accuracy over all prices from the cheapest model's to the dearest's, on the hull of the"
    " points; models mixed: the models alone, RouterBench's zero router"
)
MILD_NOTE: Final = (
    "MILD is a reconstruction. The six published numbers of MILD that were seen (arXiv:2604.27723)"
    " are about images, at costs, experts and imbalance that are not known: not comparable."
)


def study(prompts: Prompts, seed: int, only: Sequence[str] = ()) -> Decided:
    """All candidates, or only some, on one division of the prompts."""
    made = lesson(prompts, seed)
    every = candidates()
    if len(np.unique(prompts.tasks)) > 1:
        every[BY_TASK] = Candidate(rejector=PlugInRejector(), first=COMPONENTS)
    chosen = {each: every[each] for each in only or every}
    return decided(made, chosen, seed=seed, random_as=EQUAL)


def study_kinked(prompts: Prompts, seed: int) -> Decided:
    """Hinge and ramp on the same division."""
    return decided(lesson(prompts, seed), kinked_candidates(), seed=seed, random_as=None)


def run(
    data: Path, cache: Path, *, seeds: int, scale: float, told: Callable[[str], None]
) -> tuple[dict[str, Report], dict[str, dict[str, str]], dict[str, Any]]:
    """Everything that takes time: reports by set, what validation chose, RouterBench by dollar."""
    folder = data / "llm_routing"
    reports: dict[str, Report] = {}
    chosen: dict[str, dict[str, str]] = {}
    by_dollar: dict[float, list[Trial]] = {}

    def made(label: str, prompts: Prompts, only: Sequence[str] = ()) -> list[Decided]:
        order = np.random.default_rng(0).permutation(len(prompts.texts))
        some = prompts.at(np.sort(order[: round(scale * len(order))]))
        found = []
        for seed in range(seeds):
            key = f"{NAME} {label} {scale:g} {seed}".translate(PLAIN)
            parts = [kept(cache, key, partial(study, some, seed, only))]
            if not only:
                make = partial(study_kinked, some, seed)
                parts.append(kept(cache, f"{key}_kinked", make))
            found.append(joined(*parts))
            told(f"{label}, seed {seed}")
        return found

    for label, read in SETS.items():
        prompts = read(folder)
        found = made(label, prompts)
        trials = [each.trial for each in found]
        reports[label] = deferral_report(trials, agents=prompts.agents, overlap=OVERLAP)
        chosen[label] = {name: margins_chosen(found, name) for name in VALIDATED}
        if read is routerbench:
            by_dollar[DOLLAR] = trials
    for dollar in DOLLARS:
        if dollar != DOLLAR:
            prompts = routerbench(folder, dollar=dollar)
            made_here = made(f"RouterBench, {dollar:g} a dollar", prompts, SHORT)
            by_dollar[dollar] = [each.trial for each in made_here]
    return reports, chosen, cost_quality(by_dollar, SHORT, overlap=OVERLAP)


def shown(report: Report, label: str) -> str:
    """The tables of one set: what methods cost, whom they ask, and RouteLLM's own figures."""
    tables = [
        table(report, label, note=f"{NOTE} {_imbalance(report)}"),
        shares(report),
    ]
    if label.startswith("RouteLLM"):
        note = "APGR of random calls: 50 %; no published APGR of this file and pair was at hand"
        tables.append(gap_table(f"{label}: gap recovered", recovered(report), note=note))
    return "\n\n".join(each.text() for each in tables)


def published(
    reports: Mapping[str, Report], dollars: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """What the sets' papers claim, what was found here, and why the two differ."""

    def ahead(label: str) -> str:
        report = reports[label]
        found = report.difference(EQUAL, BEST_AGENT, attrgetter("accuracy"))
        return f"{cell(found, percent=True)} points for {EQUAL}"

    saved = ", ".join(
        f"{100 - 100 * recovered(report)[EQUAL]['CPT(80 %)'].mean:.0f} % ({label})"
        for label, report in reports.items()
        if label.startswith("RouteLLM")
    )
    quality = {name: cell(dollars[name]["AIQ"], percent=True) for name in ("plug-in", MIXED)}
    return {
        "RouterDC, arXiv:2409.19886": {
            "published": "+2.76 points of accuracy over the best model",
            "ours": ahead(BARS),
            "difference": "theirs is a mean over tasks, with a fine-tuned encoder of language; ours"
            " is over prompts, with hashed words. The cost is not the error: the score of a choice"
            " is its probability, so a confident model may cost less than a more accurate one",
        },
        "RouterBench, arXiv:2403.12031": {
            "published": "trained routers do not consistently beat mixing the models",
            "ours": f"AIQ {quality['plug-in']} for the plug-in, {quality[MIXED]} for mixing",
            "difference": "eight tasks there, three here, and the rejector is told which",
        },
        "RouteLLM, arXiv:2406.18665": {
            "published": "30 % of the cost saved on MMLU, 40 % on GSM8K (authors' announcement)",
            "ours": f"calls of the strong model saved with 80 % of the gap recovered: {saved}",
            "difference": "not the same quantity; and they train on other questions than they test"
            " on, we on other questions of the same sets",
        },
        "LLMRouterBench, arXiv:2601.07206": {
            "published": "leading routers are alike; rarely right models are missed",
            "ours": _alike(reports),
            "difference": "other models and sets",
        },
    }


def _alike(reports: Mapping[str, Report]) -> str:
    """How many losses differ from equal margins on how many sets, and how rare models fare."""
    losses = [
        report.difference(name, EQUAL, attrgetter("deferral_loss"))
        for report in reports.values()
        for name in ALIKE
    ]
    apart = sum(abs(each.mean) > each.half_width for each in losses)
    least = [
        report.method(EQUAL).spread(attrgetter("recall_min")).mean for report in reports.values()
    ]
    return (
        f"of {', '.join(ALIKE)} on {len(reports)} sets, {apart} of {len(losses)} differ from"
        f" {EQUAL} (paired, 95 %); on {sum(each == 0 for each in least)} sets some model is never"
        " asked where it alone would do"
    )


def _imbalance(report: Report) -> str:
    ratio = spread(report.imbalance).mean
    return (
        f"One agent is the only cheapest on {100 * spread(report.decided).mean:.0f} % of the"
        f" prompts; imbalance {ratio:.1f} : 1."
    )


@click.command()
@data_option
@cache_option
@click.option("--seeds", type=click.IntRange(min=2), default=5, show_default=True)
@click.option("--scale", type=click.FloatRange(0.05, 1), default=1.0, help="Share of the rows.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=RESULTS, help="Folder for both files."
)
@click.option("--quick", is_flag=True, help="Two seeds, a tenth of the rows, nothing is written.")
def main(  # noqa: PLR0913  # a command's options
    data: Path, cache: Path, seeds: int, scale: float, output: Path, *, quick: bool
) -> None:
    """Compare MILD's reconstruction with every other loss on recorded outcomes of models."""
    one_thread()
    seeds, scale = (2, min(scale, 0.1)) if quick else (seeds, scale)
    reports, chosen, dollars = run(
        data, cache, seeds=seeds, scale=scale, told=lambda what: click.echo(what, err=True)
    )
    scaled = SCALED + (f"; {100 * scale:g} % of the rows" if scale < 1 else "")
    for label, report in reports.items():
        click.echo(f"\n{shown(report, label)}")
        click.echo("\n".join(f"{name}, chose {text}" for name, text in chosen[label].items()))
    quality = gap_table("RouterBench: quality over all prices", dollars, note=AIQ_NOTE)
    click.echo(f"\n{quality.text()}\n\n{paired(reports).text()}")
    beside = published(reports, dollars)
    for source, row in beside.items():
        click.echo(f"\n{source}: published {row['published']}; ours {row['ours']};")
        click.echo(f"  {row['difference']}")
    click.echo(f"\n{MILD_NOTE}\n{NO_ONE_STAGE}\nscaled down: {scaled}")
    if quick:
        return
    findings = {
        "scaled_down": scaled,
        "unit": "costs in errors; a figure is its mean and the half-width of its 95 % interval over"
        " seeds (Student's t, corrected for re-divisions of one table)",
        "seeds": seeds,
        "published and ours": beside,
        "MILD": MILD_NOTE,
        "one-stage": NO_ONE_STAGE,
        "sets": {
            label: plain(report) | {f"{name}, chose": text for name, text in chosen[label].items()}
            for label, report in reports.items()
        },
        "gap recovered (RouteLLM)": {
            label: {
                method: {figure: rounded(each) for figure, each in row.items()}
                for method, row in recovered(report).items()
            }
            for label, report in reports.items()
            if label.startswith("RouteLLM")
        },
        "cost and quality (RouterBench)": {
            method: {"AIQ": rounded(row["AIQ"]), "dollars and accuracy": row["points"]}
            for method, row in dollars.items()
        },
    }
    write_results(
        output / f"{NAME}.json", module="experiments.deferral.llm_routing", findings=findings
    )
    draw(output / f"{NAME}.png", reports, dollars, bars=BARS, note=scaled)
    click.echo(f"wrote {NAME}.json and {NAME}.png in {output}")


if __name__ == "__main__":
    main()
