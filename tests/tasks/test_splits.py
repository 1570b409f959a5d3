import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistlearn.errors import ConfigError, DataError
from assistlearn.tasks import Share, quantile_classes, share_indices

CIFAR10 = np.repeat(np.arange(10), 5000)
SVHN_COUNTS = [4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659]
SVHN = np.repeat(np.arange(10), SVHN_COUNTS)


def per_class(labels: np.ndarray, share: Share) -> list[int]:
    return np.bincount(labels[share_indices(labels, share)], minlength=10).tolist()


@pytest.mark.parametrize(("imbalance", "size"), [(0, 2500), (0.3, 9250), (0.7, 18250), (1, 25000)])
def test_cifar10_shares_have_the_papers_sizes(imbalance: float, size: int) -> None:
    learner = Share(party="learner", imbalance=imbalance)

    assert len(share_indices(CIFAR10, learner)) == size
    assert per_class(CIFAR10, learner)[0] == 2500
    assert per_class(CIFAR10, Share(party="provider")) == [2500] * 10
    pooled = Share(party="pooled", imbalance=imbalance)
    assert len(share_indices(CIFAR10, pooled)) == size + 25000


@pytest.mark.parametrize("imbalance", [0, 0.3, 0.7, 1])
def test_unequal_classes_follow_the_smallest_one(imbalance: float) -> None:
    # SVHN: class 9 is the smallest; the provider has 2329 of its 4659 examples.
    learner = per_class(SVHN, Share(party="learner", imbalance=imbalance))
    provider = per_class(SVHN, Share(party="provider", imbalance=imbalance))

    assert provider == [count // 2 for count in SVHN_COUNTS]
    assert sum(provider) == 36625
    assert learner == [round(imbalance * 2330)] * 9 + [2330]


def slow_counts(labels: list[int], imbalance: float) -> dict[int, tuple[int, int]]:
    """Provider's and learner's part of each class, by the rule's own words."""
    classes = sorted(set(labels))
    major = min(classes, key=lambda label: (labels.count(label), label))
    major_rest = labels.count(major) - labels.count(major) // 2
    result = {}
    for label in classes:
        half = labels.count(label) // 2
        rest = labels.count(label) - half
        part = rest if label == major else min(rest, round(imbalance * major_rest))
        result[label] = (half, part)
    return result


@given(
    labels=st.lists(st.integers(-3, 5), min_size=2, max_size=60),
    imbalance=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_counts_follow_the_rule_and_shares_do_not_overlap(
    labels: list[int], imbalance: float, seed: int
) -> None:
    def share(party: str) -> list[int]:
        try:
            return share_indices(
                labels,
                Share(party=party, imbalance=imbalance, seed=seed),  # type: ignore[arg-type]
            ).tolist()
        except DataError:
            return []

    learner, provider, pooled = share("learner"), share("provider"), share("pooled")

    for label, (half, part) in slow_counts(labels, imbalance).items():
        assert sum(labels[index] == label for index in provider) == half
        assert sum(labels[index] == label for index in learner) == part
    assert sorted(learner + provider) == pooled
    assert len(set(pooled)) == len(pooled)


def test_tie_for_the_smallest_class_goes_to_the_lowest_label() -> None:
    labels = np.array([3, 3, 3, 3, 7, 7, 7, 7])

    assert set(labels[share_indices(labels, Share(party="learner"))]) == {3}


def test_split_never_changes_between_versions() -> None:
    labels = np.repeat([0, 1], 6)

    shares = {
        party: share_indices(labels, Share(party=party, imbalance=0.4, seed=1)).tolist()  # type: ignore[arg-type]
        for party in ("learner", "provider")
    }

    assert shares == {"learner": [2, 3, 4, 10], "provider": [0, 1, 5, 7, 8, 11]}


def test_seed_changes_who_has_what_but_not_how_much() -> None:
    first = share_indices(CIFAR10, Share(party="provider", seed=1))
    second = share_indices(CIFAR10, Share(party="provider", seed=2))

    assert len(first) == len(second)
    assert not np.array_equal(first, second)


def test_all_is_everything() -> None:
    assert share_indices([4, 4, 1], Share(party="all")).tolist() == [0, 1, 2]


def test_regression_targets_split_by_quantiles() -> None:
    values = np.random.default_rng(0).normal(size=1000)

    classes = quantile_classes(values)

    assert np.bincount(classes).tolist() == [100] * 10
    assert values[classes == 0].max() < values[classes == 9].min()
    assert quantile_classes([5.0, 5.0, 5.0]).tolist() == [9, 9, 9]


def test_share_refuses_unknown_party_and_impossible_imbalance() -> None:
    with pytest.raises(ConfigError, match="'lerner'") as caught:
        Share(party="lerner")  # type: ignore[arg-type]
    assert "'learner'" in caught.value.hint
    with pytest.raises(ConfigError, match="imbalance"):
        Share(party="learner", imbalance=1.5)


def test_empty_share_is_a_data_error() -> None:
    with pytest.raises(DataError, match="no examples to split"):
        share_indices([], Share(party="learner"))
    with pytest.raises(DataError, match="leaves the provider no examples"):
        share_indices([1, 2], Share(party="provider"))
