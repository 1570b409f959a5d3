"""The studies' settings files are valid, and differ only in what their names say."""

from pathlib import Path

import pytest

from parties.settings import SimulationSettings
from parties.settings_file import load_settings
from protocols.sampling import split_steps

CONFIGS = sorted((Path(__file__).parents[2] / "experiments" / "configs").glob("*.toml"))
FAMILIES = sorted({path.stem.rsplit("_gamma", 1)[0] for path in CONFIGS})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_study_is_a_valid_file_with_the_imbalance_of_its_name(path):
    settings = load_settings(path, SimulationSettings)

    assert settings.split.imbalance == float(path.stem.rsplit("_gamma", 1)[1])
    assert len(settings.seeds) >= 5


@pytest.mark.parametrize("family", FAMILIES)
def test_studies_of_one_family_differ_in_imbalance_only(family):
    paths = [path for path in CONFIGS if path.stem.rsplit("_gamma", 1)[0] == family]
    found = [load_settings(path, SimulationSettings) for path in paths]

    assert len(found) > 1
    alike = [each.model_copy(update={"split": found[0].split}) for each in found]
    assert all(each == found[0] for each in alike)


def test_paper_sizes_follow_from_the_split_and_the_budget():
    # CIFAR-10: the learner has 2,500 (1 + 9 gamma) images, the provider 25,000
    shares = [split_steps(2000, samples, 25_000)[0] for samples in (2500, 9250, 18_250, 25_000)]

    assert shares == [182, 540, 844, 1000]
