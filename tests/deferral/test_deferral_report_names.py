"""Whatever agents, methods and groups are called, tables and figures show it and nothing else."""

import warnings

import numpy as np
import pytest

from assistlearn.deferral.report import Table, deferral_report, report_markdown, report_text, trial
from assistlearn.deferral.report.figures import allocation, rates, recall, write_figures
from assistlearn.deferral.report.figures.canvas import label
from assistlearn.deferral.report.names import markdown, plain

HOSTILE = [
    "_main",
    "$x",
    "$\\frac{1$",
    "a|b",
    "<b>&amp;",
    "[l](http://h)",
    "`c`*d*",
    "内科\n\x1b[2J",
]


def report(agents=HOSTILE, seeds=1):
    generator = np.random.default_rng(0)
    trials = [
        trial(
            generator.random((30, len(agents))) + 0.5,
            {name: generator.integers(0, len(agents), 30) for name in ("_it", "$m$", "<i>")},
            prices=0.5 * np.arange(len(agents)) / len(agents),
            correct_BA=generator.random((30, len(agents))) < 0.5,
            groups_B=generator.choice(["<script>", "_g_"], 30),
            seed=seed,
        )
        for seed in range(seeds)
    ]
    return deferral_report(trials, agents=agents)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("[l](u)", r"\[l\](u)"),
        (r"a\b", r"a\\b"),
        ("*a* _b_ `c` ~d~ $e$", r"\*a\* \_b\_ \`c\` \~d\~ \$e\$"),
        ("two\nlines\r\x1b[0m", r"two lines  \[0m"),
        ("turned\u202e", "turned "),
        ("plain name, 5 %", "plain name, 5 %"),
    ],
)
def test_a_name_is_text_to_markdown(name, shown):
    assert markdown(name) == shown


def test_titles_headings_cells_and_notes_are_all_escaped():
    table = Table(title="<t>", columns=("<h>", "_h_"), rows=(("<c>", "1"),), note="<n>\n")

    text = table.markdown()

    assert "<" not in text
    for part in ("**&lt;t&gt;**", "| &lt;h&gt; | \\_h\\_ |", "| &lt;c&gt; | 1 |", "&lt;n&gt; "):
        assert part in text


def test_a_report_with_hostile_names_has_no_html_and_keeps_its_columns():
    text = report_markdown(report())

    assert "<" not in text
    assert "\x1b" not in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            bars = {line.replace(r"\|", "").count("|") for line in block.splitlines()}
            assert len(bars) == 1


def test_no_name_moves_the_cursor_of_a_terminal():
    text = report_text(report())

    assert "\x1b" not in text
    assert plain("a\x07b\tc\u2028d") == "a b c d"


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_name_is_in_the_legends_as_it_is():
    found = report()

    shares, lines = legend_texts(allocation(found)), legend_texts(rates(found))

    assert shares == [label(name) for name in HOSTILE]
    for name in ("_it", "$m$", "<i>", *(f"always {each}" for each in HOSTILE)):
        # "always " stands before the agents' names, so an underscore is no first letter there.
        assert label(name) in lines or f"always {label(name[7:])}" in lines
    assert not any(text.startswith("_") for text in lines + shares)


def test_an_allocation_among_hidden_names_alone_is_drawn():
    assert legend_texts(allocation(report(["_a", "_b"]))) == ["\u200b_a", "\u200b_b"]


def test_a_long_name_keeps_both_its_ends():
    shown = label("beginning " + 300 * "x" + " number 12")

    assert shown.startswith("beginning")
    assert shown.endswith("number 12")
    assert len(shown) == 40


@pytest.mark.parametrize("seeds", [1, 2])
def test_figures_with_hostile_names_are_written_without_a_warning(tmp_path, seeds):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        paths = write_figures(tmp_path, report([*HOSTILE, 300 * "long "], seeds=seeds))

    assert not caught
    assert all(path.stat().st_size > 5000 for path in paths)


def test_a_heading_speaks_of_intervals_where_they_are_drawn():
    found = report(seeds=3)

    headings = [draw(found).get_suptitle() for draw in (rates, allocation, recall)]

    assert headings == [
        "30 held-out examples, mean and 95 % interval over 3 seeds",
        "30 held-out examples, mean over 3 seeds",
        "30 held-out examples, mean over 3 seeds",
    ]


def test_agents_alone_are_told_apart_by_numbers_and_methods_that_meet_by_size():
    agents = [f"agent {number}" for number in range(12)]
    found = report(agents)

    figure = rates(found)

    for axis in figure.axes:
        numbers = {text.get_text() for text in axis.texts}
        assert {str(number) for number in range(12)} <= numbers
        handles, labels = axis.get_legend_handles_labels()
        sizes = [
            handle.lines[0].get_markersize()
            for handle, name in zip(handles, labels, strict=True)
            if name in {label(each.name) for each in found.methods}
        ]
        assert sizes == sorted(sizes, reverse=True)
        assert len(set(sizes)) == len(found.methods)
