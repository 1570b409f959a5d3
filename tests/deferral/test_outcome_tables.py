"""Tables of outcomes: what is read, and what is refused without quoting anybody's record."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from assistlearn.deferral.tables import read_features, read_outcomes
from assistlearn.errors import ConfigError, DataError

SECRET = "Jane-Doe-4711"  # noqa: S105  (a record's value)


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "outcomes.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


GOOD = """length,note,correct:main,correct:expert,ward
1,a,1,1,north
2.5,b,0,1,south
3,c,0,0,south
"""


def test_columns_are_known_by_their_names(table):
    found = read_outcomes(table(GOOD), prices={"expert": 0.25}, group="ward")

    assert found.agents == ("main", "expert")
    assert found.feature_names == ("length",)
    assert found.features.tolist() == [[1.0], [2.5], [3.0]]
    assert found.errors.tolist() == [[0, 0], [1, 0], [1, 1]]
    assert found.costs.tolist() == [[0, 0.25], [1, 0.25], [1, 1.25]]
    assert found.fixed_prices.tolist() == [0, 0.25]
    assert found.correct.tolist() == [[True, True], [False, True], [False, False]]
    assert found.groups.tolist() == ["north", "south", "south"]
    assert found.left_out == ("note",)


def test_costs_and_prices_may_differ_from_row_to_row(table):
    found = read_outcomes(table("x,cost:a,cost:b,price:b\n1,0.5,2,0.1\n2,0,0,0.3\n"))

    assert found.errors.tolist() == [[0.5, 2], [0, 0]]
    assert found.prices.tolist() == [[0, 0.1], [0, 0.3]]
    assert found.fixed_prices is None
    assert found.correct is None


def test_where_cost_and_correctness_are_both_there_the_cost_counts(table):
    found = read_outcomes(table("x,cost:a,cost:b,correct:a,correct:b\n1,0.5,2,1,0\n"))

    assert found.errors.tolist() == [[0.5, 2]]
    assert found.correct.tolist() == [[True, False]]


def test_the_main_model_and_the_features_can_be_named(table):
    text = "x,y,correct:a,correct:b\n1,2,1,0\n3,4,1,1\n"

    found = read_outcomes(table(text), main="b", features=["y"])

    assert found.agents == ("b", "a")
    assert found.errors.tolist() == [[1, 0], [0, 0]]
    assert found.feature_names == ("y",)
    assert found.left_out == ()


def test_parquet_is_read_like_csv_and_dates_are_no_numbers(tmp_path):
    columns = {
        "x": [1.0, 2.0],
        "when": pa.array([0, 1], pa.timestamp("s")),
        "right?": [True, False],
        "correct:a": [True, False],
        "correct:b": [1, 1],
    }
    path = tmp_path / "outcomes.parquet"
    parquet.write_table(pa.table(columns), path)

    found = read_outcomes(path)

    assert found.feature_names == ("x", "right?")
    assert found.left_out == ("when",)
    assert found.errors.tolist() == [[0, 0], [1, 0]]


def test_a_column_of_text_is_no_feature_but_one_with_a_slip_is_an_error(table):
    text = "x,name,correct:a,correct:b\n1,u,1,0\n2,7,1,0\nthree,w,0,1\n"

    with pytest.raises(DataError, match=r"column 'x' of .* holds no number in row 3"):
        read_outcomes(table(text))
    assert read_outcomes(table(text.replace("three", "3"))).left_out == ("name",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot read"),
        ("x,correct:a,correct:b\n", "no rows"),
        ("x,correct:a\n1,1\n", "one agent only, 'a'"),
        ("x,y\n1,1\n", "outcomes of no agent"),
        (f"name,correct:a,correct:b\n{SECRET},1,0\n", "no column of numbers"),
        (f"x,correct:a,correct:b\n1,1,0\n2,{SECRET},0\n", "'correct:a' .* no number in row 2"),
        (f"x,correct:a,correct:b\n1,1,0\n2,3,0\n{SECRET},1,1\n", "neither 0 nor 1 in row 2"),
        ("x,correct:a,correct:b\n1,,0\n2,1,0\n3,,1\n", "no value in row 1 and 1 more"),
        ("x,correct:a,correct:b\n1,1,0\n,1,1\n", "column 'x' .* no value in row 2"),
        ("x,correct:a,correct:b\n1,1,0\ninf,1,1\n", "an infinite value in row 2"),
        ("x,cost:a,cost:b\n1,0.5,-0.125\n", "'cost:b' .* below 0 in row 1"),
        ("x,cost:a,cost:b,price:a\n1,1,1,-1\n", "'price:a' .* below 0 in row 1"),
        ("x,cost:a,correct:b\n1,1,1\n", "has correct:b but no column correct:a"),
        ("x,correct:a,correct:b,correct:a\n1,1,1,1\n", "two columns"),
        ("x;correct:a;correct:b\n1;1;0\n", "separated by ';'"),
        (f"x,correct:a,correct:b\n1,1,0,{SECRET}\n", "expected 3 columns, got 4"),
    ],
)
def test_a_bad_table_is_refused_by_column_and_row_and_never_quoted(table, text, said):
    with pytest.raises(DataError, match=said) as caught:
        read_outcomes(table(text))

    assert caught.value.hint
    assert SECRET not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"features": ["lenght"]}, DataError, "no column 'lenght'"),
        ({"features": ["note"]}, DataError, "'note' .* no number in row 1"),
        ({"group": "wart"}, DataError, "no column 'wart'"),
        ({"label": "wart"}, DataError, "no column 'wart'"),
        ({"main": "mian"}, ConfigError, "no agent 'mian'"),
        ({"prices": {"nobody": 1.0}}, ConfigError, "price of 'nobody'"),
        ({"prices": {"main": -1.0}}, ConfigError, "price of 'main' is -1.0"),
    ],
)
def test_settings_that_name_what_is_not_there_are_refused(table, settings, error, said):
    with pytest.raises(error, match=said):
        read_outcomes(table(GOOD), **settings)


def test_a_price_given_twice_is_refused(table):
    with pytest.raises(ConfigError, match="'a' has a price and a column 'price:a'"):
        read_outcomes(table("x,cost:a,cost:b,price:a\n1,1,1,1\n"), prices={"a": 0.5})


def test_costs_are_finite_and_prices_are_part_of_them(table):
    found = read_outcomes(table(GOOD), prices={"expert": 0.25})

    assert len(found) == 3
    assert (found.costs - found.errors == found.prices).all()
    assert np.isfinite(found.costs).all()


def test_the_confidence_of_agent_0_is_a_feature_and_found_by_its_name(table):
    text = "x,confidence:a,confidence:b,correct:a,correct:b\n1,0.9,0.5,1,0\n3,0.4,0.7,0,1\n"

    found = read_outcomes(table(text))

    assert found.feature_names == ("x", "confidence:a", "confidence:b")
    assert found.confidence == 1
    assert read_outcomes(table(text), main="b").confidence == 2
    chosen = read_outcomes(table(text), features=["x"])
    assert chosen.confidence is None
    assert chosen.confidence_name == "confidence:a"


def test_a_confidence_of_nobody_and_one_that_is_no_number_are_refused(table):
    text = "x,confidence:a,correct:a,correct:b\n1,0.9,1,0\n3,0.4,0,1\n"

    with pytest.raises(ConfigError, match="confidence of 'c', which is no agent"):
        read_outcomes(table(text.replace("confidence:a", "confidence:c")))
    with pytest.raises(DataError, match=r"'confidence:a' .* no number in row 1"):
        read_outcomes(table(text.replace("0.9", SECRET).replace("0.4", SECRET)))


@pytest.mark.parametrize(("ward", "code"), [("north", "south"), ("4", "7")])
def test_labels_of_any_kind_are_read_and_no_feature(table, ward, code):
    text = f"x,ward,correct:a,correct:b\n1,{ward},1,0\n3,{code},0,1\n"

    found = read_outcomes(table(text), label="ward")

    assert found.labels.tolist() == [ward, code]
    assert found.feature_names == ("x",)
    assert found.left_out == ()
    assert read_outcomes(table(text)).labels is None


def test_a_row_without_its_right_class_is_refused(table):
    with pytest.raises(DataError, match=r"column 'ward' .* no value in row 2"):
        read_outcomes(table("x,ward,correct:a,correct:b\n1,u,1,0\n3,,0,1\n"), label="ward")


@pytest.mark.parametrize("bad", ["\x1b[2J", "a\tb", "\u202egnp", "a\u2028b"])
def test_column_names_that_a_terminal_would_act_on_are_refused_and_shown_escaped(table, bad):
    for name in (f"correct:{bad}", f"confidence:{bad}", bad):
        text = f'"{name}",x,correct:b,correct:c\n1,1,0,1\n'

        with pytest.raises(DataError, match="characters that cannot be shown") as caught:
            read_outcomes(table(text))

        assert str(caught.value).isprintable()
        assert caught.value.hint.startswith("rename it")


def test_an_outcome_column_without_a_name_is_called_by_its_own(table):
    with pytest.raises(DataError, match=r"column 'correct:' of .* names no agent"):
        read_outcomes(table("x,correct:,correct:b\n1,1,0\n"))
    with pytest.raises(DataError, match="agent whose name is 201 characters long"):
        read_outcomes(table(f"x,cost:{'a' * 201},cost:b\n1,1,0\n"))


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ("correct:main", "'correct:main' holds an outcome"),
        ("cost:expert", "'cost:expert' holds an outcome"),
        ("ward", "'ward' holds the groups"),
        ("truth", "'truth' holds the right classes"),
    ],
)
def test_what_is_known_only_afterwards_is_refused_as_a_feature(table, feature, said):
    text = (
        "length,truth,ward,correct:main,correct:expert,cost:main,cost:expert\n"
        "1,0,1,1,1,0,0\n2,1,2,0,1,1,0\n"
    )

    with pytest.raises(ConfigError, match=said):
        read_outcomes(table(text), features=["length", feature], group="ward", label="truth")


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
def test_row_numbers_that_others_write_are_no_features_unless_named(table, name):
    text = f"{name},x,correct:a,correct:b\n0,5,1,0\n1,5,0,1\n"

    found = read_outcomes(table(text))

    assert found.feature_names == ("x",)
    assert found.row_numbers == (name,)
    assert read_outcomes(table(text), features=[name, "x"]).feature_names == (name, "x")


def doubted(table, column, values, *, label=None):
    """The doubts about one column beside a harmless one."""
    rows = [f"{value},{i % 3},{int(i > 5)},{i % 2}" for i, value in enumerate(values)]
    text = "\n".join([f"{column},x,correct:a,correct:b", *rows])
    return read_outcomes(table(text), label=label).doubts


def test_features_that_may_be_ids_or_give_an_outcome_away_are_doubted_by_name(table):
    ids = [7, 3, 9, 1, 40, 22, 5, 8, 11, 13, 2, 60]
    given_away = [0.5] * 6 + [0.75] * 6

    assert doubted(table, "id", ids) == (
        "feature 'id' holds a different whole number in every row, as row numbers and ids do",
    )
    assert doubted(table, "review", given_away) == (
        "feature 'review' alone tells every error of 'a': is it known beforehand?",
    )
    assert doubted(table, "review", [-value for value in given_away])
    assert doubted(table, "Truth", [1, 2] * 6)[0].startswith("feature 'Truth' is called like")
    assert doubted(table, "length", [value + 0.5 for value in ids]) == ()
    assert doubted(table, "length", [*given_away[1:], 0.6]) == ()
    assert doubted(table, "constant", [1] * 12) == ()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("x,cost:a,cost:b\n1,0.5,1\n2,,1\n", "fill or drop these rows"),
        ("x,correct:a,correct:b\n1,1,0\n2,yes,0\n", "mend this cell"),
        ('x,cost:a,cost:b\n1,"0,5",1\n2,"0,1",1\n', "write numbers with a decimal point"),
        ("x,cost:a,cost:b\n1,1_0,1\n2,1,1\n", "mend this cell"),
    ],
)
def test_a_hint_about_an_outcome_says_nothing_of_features(table, text, hint):
    with pytest.raises(DataError) as caught:
        read_outcomes(table(text))

    assert caught.value.hint.startswith(hint)
    assert "name the features" not in caught.value.hint


def test_a_gap_in_a_feature_can_be_avoided_by_naming_others(table):
    with pytest.raises(DataError) as caught:
        read_outcomes(table("x,y,correct:a,correct:b\n1,,1,0\n2,3,1,0\n"))

    assert caught.value.hint == "fill or drop these rows, or name the features to use"


def test_a_price_is_finite(table):
    with pytest.raises(ConfigError, match="'expert' is inf, must be a finite number >= 0"):
        read_outcomes(table(GOOD), prices={"expert": float("inf")})


@pytest.mark.parametrize("role", ["group", "label"])
def test_one_long_label_is_refused_before_it_takes_its_room_in_every_row(table, role):
    cells = ["s"] * 4_000 + ["L" * 1_000_000]
    text = "x,correct:a,correct:b,g\n" + "".join(f"1,1,0,{cell}\n" for cell in cells)

    with pytest.raises(DataError, match=r"'g' of .* has 1000000 characters in row 4001"):
        read_outcomes(table(text), **{role: "g"})


def test_groups_without_a_name_are_called_none(table):
    text = "x,correct:a,correct:b,g\n1,1,0,\n2,0,1,north\n"
    numbered = text.replace("north", "4")

    assert read_outcomes(table(text), group="g").groups.tolist() == ["(none)", "north"]
    assert read_outcomes(table(numbered), group="g").groups.tolist() == ["(none)", "4.0"]


def test_features_of_new_rows_are_read_in_the_order_asked_for(table):
    path = table("a,name,b\n1,u,2\n3,v,4\n")

    assert read_features(path, ["b", "a"]).tolist() == [[2, 1], [4, 3]]
    with pytest.raises(DataError, match="lacks 2 of 3 features: 'c', 'd'"):
        read_features(path, ["c", "a", "d"])
    with pytest.raises(DataError, match=r"'name' of .* no number in row 1"):
        read_features(path, ["name"])
