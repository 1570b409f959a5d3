"""Checkpoints on disk. Nothing exported here loads torch; ``checkpoints.tensors`` does."""

from assistlearn.checkpoints.spec import DType, ModelSpec, TensorSpec
from assistlearn.checkpoints.store import CheckpointStore, CheckpointWriter
from assistlearn.checkpoints.values import MAX_ABS, BytesCheck, check_file

__all__ = [
    "MAX_ABS",
    "BytesCheck",
    "CheckpointStore",
    "CheckpointWriter",
    "DType",
    "ModelSpec",
    "TensorSpec",
    "check_file",
]
