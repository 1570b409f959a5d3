"""Checkpoints on disk. Nothing exported here loads torch; ``checkpoints.tensors`` does."""

from assistlearn.checkpoints.spec import DType, ModelSpec, TensorSpec
from assistlearn.checkpoints.store import CheckpointStore, CheckpointWriter
from assistlearn.checkpoints.values import MAX_ABS, MAX_COUNTER, BytesCheck, check_file

__all__ = [
    "MAX_ABS",
    "MAX_COUNTER",
    "BytesCheck",
    "CheckpointStore",
    "CheckpointWriter",
    "DType",
    "ModelSpec",
    "TensorSpec",
    "check_file",
]
