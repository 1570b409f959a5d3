"""What to say of a table, of a choice by validation and of a comparison, in sentences."""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final

from assistlearn.deferral.comparison import (
    BEST_AGENT,
    CHOSEN,
    THRESHOLD,
    Difference,
    Fitted,
    choose,
    held_out_difference,
    random_as,
    ranked,
)
from assistlearn.deferral.rejectors import FixedAgent
from assistlearn.deferral.report import Report, Trial
from assistlearn.deferral.tables import Outcomes

SHOWN: Final = 6  # names in one line; the others are counted
LONGEST: Final = 40  # characters of a name in a line of several
DOTS: Final = "..."
SURE: Final = 2.0  # standard errors beyond which held-out rows tell two methods apart

loss = attrgetter("deferral_loss")


def described(outcomes: Outcomes) -> Iterator[str]:
    """What is in a table, what of it is used, and what is doubtful."""
    agents, features = outcomes.agents, outcomes.feature_names
    main = short(agents[0], LONGEST)
    yield f"{len(outcomes)} rows; agents: {main} (agent 0), {listed(agents[1:])}"
    yield f"features ({len(features)}): {listed(features)}"
    if outcomes.left_out:
        yield f"left out, no numbers: {listed(outcomes.left_out)}"
    if outcomes.row_numbers:
        yield f"left out, as row numbers: {listed([*map(repr, outcomes.row_numbers)])}"
    for doubt in outcomes.doubts[:SHOWN]:
        yield f"warning: {doubt}"
    if len(outcomes.doubts) > SHOWN:
        yield f"warning: {len(outcomes.doubts) - SHOWN} more such features"
    if outcomes.confidence is None:
        name = short(outcomes.confidence_name, LONGEST)
        yield f"left out: {THRESHOLD}, as no feature is called {name}"


def choice(
    outcomes: Outcomes, fitted: Sequence[Fitted], trial: Trial, report: Report
) -> Iterator[str]:
    """What validation chose, from what and how surely, and how it does on rows held out.

    Args:
        outcomes: the table.
        fitted: all methods.
        trial: what they do on rows that nothing was learned or chosen on.
        report: of this trial.
    """
    chosen, runner_up, *_ = ranked(fitted)
    losses = ", ".join(f"{each.name} {each.validation_loss:.3f}" for each in fitted)
    yield f"deferral losses on the validation rows, before they were learned from too: {losses}"
    yield f"chosen: {chosen.name}"
    gap = Difference.of(runner_up.validation_costs, chosen.validation_costs)
    if not (gap.mean or gap.standard_error):
        yield f"next: {runner_up.name}, which does exactly as well on every one of these rows"
    elif gap.within(1):
        yield (
            f"next: {runner_up.name}, {gap.mean:.4f} more, within one standard error"
            f" ({gap.standard_error:.4f}): validation cannot tell the two apart"
        )
    if isinstance(chosen.rejector, FixedAgent):
        name = outcomes.agents[chosen.rejector.agent_]
        yield f"as far as these rows can tell, no rejector beats asking {name} every time"
    yield _held_out(outcomes, fitted, trial, report)


def _held_out(outcomes: Outcomes, fitted: Sequence[Fitted], trial: Trial, report: Report) -> str:
    """What is saved beside the agent that was best in training, and one that is better now."""
    chosen = choose(fitted).name
    (rejector,) = (each.rejector for each in fitted if each.name == BEST_AGENT)
    assert isinstance(rejector, FixedAgent)
    agent = outcomes.agents[rejector.agent_]
    own, alone = (loss(report.method(name).metrics[0]) for name in (chosen, BEST_AGENT))
    start = f"on the {report.examples[0]} held-out rows"
    text = f"{start} asking {agent} every time has a deferral loss of {alone:.4f}"
    if chosen != BEST_AGENT:
        gap = held_out_difference(trial, chosen, BEST_AGENT)
        does = "better than" if gap.mean < 0 else "worse than" if gap.mean > 0 else "as well as"
        text = (
            f"{start} what is saved does {does} asking {agent} every time: deferral loss"
            f" {own:.4f} against {alone:.4f}, standard error of the difference"
            f" {gap.standard_error:.4f}"
        )
        if gap.within(SURE):
            text += ", too few rows to tell the two apart"
    top = report.best_agent
    if top.name != agent and loss(top.alone.metrics[0]) < own:
        text += f"; there {top.name} alone has {loss(top.alone.metrics[0]):.4f}"
    return text


def findings(report: Report) -> Iterator[str]:
    """What choosing by validation is worth, beside one agent for everything."""
    chosen = report.method(CHOSEN).spread(loss)
    yield (
        f"The method that validation chooses has a deferral loss of {chosen.mean:.3f}, the oracle"
        f" {report.oracle.spread(loss).mean:.3f}."
    )
    gap = report.difference(BEST_AGENT, CHOSEN, loss)
    saved = "less" if gap.mean >= 0 else "more"
    yield (
        f"That is {abs(gap.mean):.4f} {saved} than always asking the agent that was best in"
        " training."
    )
    if len(report.seeds) == 1:
        yield "One seed cannot say how sure that is: try --seeds 5."
    else:
        end = ", and includes no difference at all" if abs(gap.mean) <= gap.half_width else ""
        yield (
            f"The 95 % interval over {len(report.seeds)} seeds, corrected for overlapping"
            f" divisions, is ±{gap.half_width:.4f}{end}."
        )
    chance = report.method(random_as(CHOSEN)).spread(loss)
    yield f"Random choices with the same shares have a deferral loss of {chance.mean:.3f}."


def listed(names: Sequence[str]) -> str:
    """The first names, shortened, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(short(name, LONGEST) for name in names[:SHOWN]) + more


def short(name: str, longest: int) -> str:
    """A name of at most ``longest`` characters: of a long one the beginning and the end."""
    if len(name) <= longest:
        return name
    end = (longest - len(DOTS)) // 2
    return name[: longest - len(DOTS) - end] + DOTS + name[len(name) - end :]
