"""Who answers about the patients: what is read, what the simulated experts know, cross-fitting."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.neighbors import KNeighborsRegressor

from experiments.deferral.ehr_agents import (
    HALF,
    OWN,
    TEST,
    _Ward,
    clusters,
    kept_answers,
    physicians,
)
from experiments.deferral.ehr_data import (
    BEDSIDE,
    FILE,
    HISTORY,
    LABORATORY,
    Patients,
    read_patients,
    scaled,
)

KNOWN_LATER = {
    "death", "d.time", "hospdead", "slos", "sfdm2", "charges", "totcst", "totmcst", "avtisst",
    "dnr", "dnrday", "sno",
}  # fmt: skip
ESTIMATES = {"surv2m", "surv6m", "prg2m", "prg6m"}


def some_patients(count=300, seed=0):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(count, 6)) + 3 * generator.integers(4, size=(count, 1))
    died = (features[:, 0] + generator.normal(size=count) > 4).astype(int)
    estimates = generator.uniform(size=(2, count, 2))
    estimates[0, 3] = np.nan
    estimates[1, 5:9] = np.nan
    return Patients(
        features=features,
        sources=np.array(["age", "age", "edu", "hrt", "temp", "crea"]),
        died=died,
        log_days=np.log(generator.integers(3, 60, size=count)),
        died_within=generator.integers(2, size=(count, 2)),
        model_estimates=estimates[0],
        physician_estimates=estimates[1],
    )


@pytest.fixture(scope="module")
def clustered():
    return clusters(some_patients(), 0)


@pytest.fixture
def table(tmp_path):
    """Four patients in a file like SUPPORT2's."""
    numbers = {name: [1.0, 2.0, None, 4.0] for name in (*HISTORY, *BEDSIDE, *LABORATORY)}
    words = {name: ["a", "b", "a", None] for name in ("sex", "race", "income", "dzgroup", "ca")}
    outcomes = {
        "hospdead": [0, 1, 0, 0], "slos": [3, 10, 20, 343], "death": [1, 1, 1, 0],
        "d.time": [61, 60, 180, 400],
        **{name: [0.9, 0.5, None, 0.25] for name in ESTIMATES},
    }  # fmt: skip
    columns = {
        name: pa.array(values, pa.large_string() if name in words else None)
        for name, values in (numbers | words | outcomes).items()
    }
    path = tmp_path / FILE
    path.parent.mkdir()
    pq.write_table(pa.table(columns), path)
    return tmp_path


def test_nothing_known_only_later_and_no_estimate_of_survival_is_a_feature(table):
    patients = read_patients(table)

    assert set(patients.sources) == {*HISTORY, *BEDSIDE, *LABORATORY}
    assert not set(patients.sources) & (KNOWN_LATER | ESTIMATES)


def test_gaps_are_told_and_categories_are_columns_of_their_own(table):
    patients = read_patients(table)

    age, age_missing = patients.features[:, patients.columns(["age"])].T
    races = patients.features[:, patients.columns(["race"])]

    assert np.array_equal(age, [1, 2, np.nan, 4], equal_nan=True)
    assert age_missing.tolist() == [0, 0, 1, 0]
    assert races.sum(axis=1).tolist() == [1, 1, 1, 1]


def test_death_within_sixty_and_a_hundred_and_eighty_days_counts_the_last_day(table):
    patients = read_patients(table)

    assert patients.died_within.T.tolist() == [[0, 1, 0, 0], [1, 1, 1, 0]]
    assert patients.physician_estimates[1].tolist() == [0.5, 0.5]
    assert patients.log_days[0] == pytest.approx(np.log(3))


def test_scaling_knows_the_training_patients_only():
    features = np.array([[1.0, 5.0], [3.0, 5.0], [np.nan, 5.0], [100.0, 7.0]])

    found = scaled(features, np.array([True, True, True, False]))

    assert found[:3].tolist() == [[-1, 0], [1, 0], [0, 0]]
    assert found[3].tolist() == [98, 2]


def test_a_model_that_only_remembers_learns_nothing_about_training_patients():
    generator = np.random.default_rng(0)
    ward = _Ward.divided(generator.normal(size=(200, 3)), 0)
    noise = generator.normal(size=200)

    told = ward.answers(lambda: KNeighborsRegressor(1), noise)

    assert ward.test.sum() == round(TEST * 200)
    assert abs(np.corrcoef(told, noise)[0, 1]) < 0.3
    assert not np.isclose(told, noise).any()


def test_a_simulated_expert_is_right_on_its_clusters_and_wrong_elsewhere(clustered):
    told, died = clustered.probabilities[:, 1:], clustered.died[:, None]
    exact = clustered.values[:, 1:] == clustered.truth[:, None]

    right = (told > HALF) == died

    assert set(np.unique(told)) == {0.0, 1.0}
    assert 0 < right.mean() < 1
    assert (right != exact).any()  # other clusters for the other task


def test_the_largest_cluster_is_all_that_both_experts_share(clustered):
    right = (clustered.probabilities[:, 1:] > HALF) == clustered.died[:, None]
    exact = clustered.values[:, 1:] == clustered.truth[:, None]

    assert np.array_equal(right.all(axis=1), exact.all(axis=1))
    assert right.all(axis=1).any()


def test_hidden_columns_make_the_clusters_and_are_not_seen():
    patients = some_patients()

    found = clusters(patients, 0, hidden=("age", "edu"))

    assert found.features.shape[1] == 3 + OWN
    assert np.array_equal(found.features[:, :3], scaled(patients.features, ~found.test)[:, 3:])


def test_being_told_the_clusters_is_never_dearer_in_training_than_any_agent(clustered):
    wrong, off = clustered.errors("smooth_l1")
    told_wrong, told_off = clustered.reference_errors("smooth_l1")
    train = ~clustered.test

    best_agent = (wrong + off)[train].mean(axis=0).min()

    assert (told_wrong + told_off)[train].mean() <= best_agent


def test_physicians_are_compared_where_both_estimates_exist():
    found = physicians(some_patients(), 0)

    assert len(found.died) == 300 - 5
    assert np.allclose(found.reference[:, 0], found.probabilities[:, [0, 2]].mean(axis=1))
    assert np.allclose(found.reference[:, 1], found.values[:, [0, 2]].mean(axis=1))


def test_kept_answers_are_made_once(clustered, tmp_path):
    first = kept_answers(tmp_path / "answers.npz", lambda: clustered)

    again = kept_answers(tmp_path / "answers.npz", lambda: pytest.fail("made twice"))

    assert np.array_equal(first.values, again.values)
    assert np.array_equal(again.test, clustered.test)


def test_the_table_is_the_one_that_is_described():
    folder = Path(os.environ.get("ASSISTLEARN_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / FILE).exists():
        pytest.skip(f"SUPPORT2 is not in {folder}: set ASSISTLEARN_DATA")

    patients = read_patients(folder)

    assert len(patients.died) == 9105
    assert patients.died.mean() == pytest.approx(0.2592, abs=5e-5)
    assert np.exp(patients.log_days).mean() == pytest.approx(17.86, abs=0.005)
    assert np.isfinite(scaled(patients.features, np.ones(9105, dtype=bool))).all()
