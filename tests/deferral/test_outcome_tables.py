"""Tables of outcomes: what is read, and what is refused without quoting anybody's record."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from assistlearn.deferral.tables import read_outcomes
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
