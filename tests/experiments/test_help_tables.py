"""The published tables of learning to help: what their "all" are means over."""

import pytest

from experiments.deferral.help_tables import GROUPS, TABLE_6_PUBLISHED

NINES = 1595 / 26032  # of SVHN's test images, the share that shows the class left out
MISSING, OTHERS, MACRO, _ = GROUPS


def means(row):
    """Over classes, of which nine are the others; and over images."""
    first, others = row[MISSING], row[OTHERS]
    return (first + 9 * others) / 10, NINES * first + (1 - NINES) * others


@pytest.mark.parametrize(
    ("row", "over_images"), [("only local", 0.866), ("only remote", 0.898), ("jointly", 0.890)]
)
def test_an_accuracy_of_table_6_over_all_images_is_the_mean_over_classes(row, over_images):
    published = TABLE_6_PUBLISHED[row]

    macro, micro = means(published)

    assert macro == pytest.approx(published[MACRO], abs=5.1e-4)
    assert micro == pytest.approx(over_images, abs=5.1e-4)


def test_for_the_client_alone_the_mean_over_images_would_be_another_number():
    macro, micro = means(TABLE_6_PUBLISHED["only local"])

    assert micro - macro > 0.03


def test_the_reject_rate_of_table_6_is_neither_mean():
    published = TABLE_6_PUBLISHED["reject rate"]

    macro, micro = means(published)

    assert macro == pytest.approx(0.2015)
    assert micro == pytest.approx(0.1699, abs=5e-5)
    assert published[MACRO] == 0.178
    assert micro < published[MACRO] - 0.005 < published[MACRO] + 0.005 < macro
