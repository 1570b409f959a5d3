"""``from assistlearn import deferral`` is cheap, and every name is where it says."""

import subprocess
import sys

import pytest

from assistlearn import deferral


@pytest.mark.parametrize("name", deferral.__all__)
def test_a_public_name_is_found_again_and_again(name):
    first = getattr(deferral, name)

    assert getattr(deferral, name) is first
    assert not isinstance(first, type(sys))


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = deferral.nonsense
    assert set(dir(deferral)) == set(deferral.__all__)


def test_importing_the_package_does_not_load_torch():
    code = "import sys; from assistlearn import deferral; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_fitting_and_deciding_need_neither_pandas_nor_matplotlib_nor_pyarrow():
    code = (
        "import sys, numpy; sys.modules.update(pandas=None, matplotlib=None, pyarrow=None);"
        "from assistlearn.deferral import Rejector;"
        "Rejector().fit(numpy.eye(4), numpy.eye(4)).decide(numpy.eye(4))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
