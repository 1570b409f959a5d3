"""What a worker answers to its gate."""

import math

import pytest
from toytask import ToyTask

from parties.worker.requests import (
    LENGTH,
    Describe,
    Described,
    Failed,
    Measured,
    decode_reply,
    encode_reply,
)
from parties.worker.service import MAX_SCHEMA, WorkerService
from protocols.roles import Role


@pytest.mark.parametrize("length", [MAX_SCHEMA, MAX_SCHEMA + 1])
def test_a_schema_is_agreed_on_whole_or_not_at_all(tmp_path, length):
    task = ToyTask()
    task.schema = "x" * length
    service = WorkerService(task, role=Role.LEARNER, rounds=tmp_path, wire_dtype="float32", seed=1)

    answer = service.answer(Describe())

    if length > MAX_SCHEMA:
        assert isinstance(answer, Failed)
        assert answer.error == "TaskError"
        assert str(length) in answer.message
    else:
        assert isinstance(answer, Described)
        assert len(answer.schema) == length


def test_a_figure_that_does_not_exist_is_left_out():
    measured = Measured(digest="ab" * 32, metrics=(("rmse", 1.5), ("r2", math.nan)))

    read = decode_reply(encode_reply(measured)[LENGTH.size :])

    assert read == Measured(digest="ab" * 32, metrics=(("rmse", 1.5),))
