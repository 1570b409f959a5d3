"""What ``init`` writes is what the program takes, the lines in comments included."""

import re
import tomllib

import pytest
import torch

from assistlearn.tasks import table
from parties.template import config_text
from protocols.roles import Role

ROWS = "bmi,age,label\n27.1,54,1\n31.9,42.5,0\n"
COMMENT = re.compile(r"^# (?=\w+ = )(?!task = )", re.MULTILINE)  # a regression is another file


@pytest.mark.parametrize("role", Role)
def test_every_setting_of_the_template_is_taken_by_its_own_factory(tmp_path, monkeypatch, role):
    monkeypatch.chdir(tmp_path)
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text(ROWS)
    settings = tomllib.loads(COMMENT.sub("", config_text(role)))["task"]["settings"]

    task = table(**settings, device="cpu")

    assert {"test", "features", "classes", "mean", "std"} <= set(settings)
    (batch,) = task._train.in_order(2)
    assert torch.allclose(batch[0], torch.tensor([[0.0, 0.0], [-1.0, 1.0]]))
