"""All methods fitted and measured, seed by seed, with a word on how far it is."""

from collections.abc import Iterator, Mapping, Sequence

from assistlearn.deferral.comparison import (
    OWN_CLASSIFIER,
    Fitted,
    fit_methods,
    measured_trial,
    methods,
    one_stage_trials,
    split_rows,
)
from assistlearn.deferral.rejectors import OneStageRejector
from assistlearn.deferral.report import Report, Trial, deferral_report
from assistlearn.deferral.tables import Outcomes
from parties.output import Output


def run(
    outcomes: Outcomes,
    surrogates: Sequence[str],
    seeds: Sequence[int],
    output: Output,
    *,
    with_choice: bool = True,
) -> Iterator[tuple[tuple[Fitted, ...], Trial]]:
    """For each seed, the methods fitted and what they do on its test rows."""
    total = len(seeds) * len(methods(surrogates, seed=0, confidence=outcomes.confidence))
    with output.progress(total, "fit") as advance:
        for seed in seeds:
            split = split_rows(len(outcomes), seed)
            fitted = fit_methods(
                outcomes,
                methods(surrogates, seed=seed, confidence=outcomes.confidence),
                split,
                told=lambda name, seed=seed: advance(f"seed {seed}, {name}"),  # type: ignore[misc]
            )
            trial = measured_trial(outcomes, fitted, split, seed=seed, with_choice=with_choice)
            yield fitted, trial


def run_one_stage(
    outcomes: Outcomes,
    unfitted: Mapping[str, OneStageRejector],
    seeds: Sequence[int],
    output: Output,
) -> tuple[dict[str, Report], list[str]]:
    """A report for each one-stage method, as each has an agent 0 of its own; and who stopped."""
    if not unfitted:
        return {}, []
    with output.progress(len(seeds) * len(unfitted), "fit") as advance:
        runs = [
            one_stage_trials(
                outcomes,
                unfitted,
                split_rows(len(outcomes), seed),
                seed=seed,
                told=lambda name, seed=seed: advance(f"seed {seed}, {name}"),  # type: ignore[misc]
            )
            for seed in seeds
        ]
    agents = (OWN_CLASSIFIER, *outcomes.agents[1:])
    overlap = split_rows(len(outcomes), 0).overlap
    reports = {
        name: deferral_report([run[name].trial for run in runs], agents=agents, overlap=overlap)
        for name in unfitted
    }
    return reports, [name for run in runs for name, each in run.items() if not each.converged]
