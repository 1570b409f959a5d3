"""Models to checkpoint files and back. The only checkpoint module that loads torch.

A checkpoint is a deep copy of parameters *and* buffers, rounded to the wire precision. What is
evaluated must be what was stored: see :func:`same_precision`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal

import torch
from torch import Tensor, nn

from assistlearn.checkpoints.spec import DType, ModelSpec, TensorSpec
from assistlearn.checkpoints.store import CheckpointStore
from assistlearn.checkpoints.values import MAX_ABS, MAX_COUNTER
from assistlearn.durable import disk_errors
from assistlearn.errors import TensorError

WireDType = Literal["float32", "float16", "bfloat16"]
"""Precision of floating tensors in checkpoint files; counters are int64 in file and model."""

WIRE_DTYPES: Final[dict[str, DType]] = {
    "float32": DType.F32,
    "float16": DType.F16,
    "bfloat16": DType.BF16,
}
TORCH_DTYPES: Final = {
    DType.F32: torch.float32,
    DType.F16: torch.float16,
    DType.BF16: torch.bfloat16,
    DType.I64: torch.int64,
}


def model_spec(model: nn.Module, *, wire_dtype: WireDType = "float32") -> ModelSpec:
    """Name, dtype and shape of every parameter and persistent buffer, in state_dict order.

    Raises:
        TensorError: a tensor is of a kind that may not cross; the hint says what to do.
    """
    if wire_dtype not in WIRE_DTYPES:
        raise TensorError(
            f"wire precision {wire_dtype!r} is unknown", hint=f"choose one of {[*WIRE_DTYPES]}"
        )
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return ModelSpec(
        tuple(
            TensorSpec(
                name=name,
                dtype=_wire_dtype(name, tensor, WIRE_DTYPES[wire_dtype]),
                shape=tuple(tensor.shape),
                buffer=name not in parameters,
            )
            for name, tensor in model.state_dict().items()
        )
    )


def same_precision(model: nn.Module, spec: ModelSpec) -> bool:
    """Whether storing ``model`` rounds nothing, so that model and file are the same function."""
    return all(
        tensor.dtype == TORCH_DTYPES[wanted.dtype] for wanted, tensor in _paired(model, spec)
    )


def save_checkpoint(model: nn.Module, spec: ModelSpec, store: CheckpointStore) -> str | None:
    """Store a deep copy of ``model`` and return its digest.

    Copies one tensor at a time, so memory grows by the largest tensor only.

    Returns:
        None, and nothing is stored, if the model diverged: a value is not finite, or a float or
        counter is larger than the receiving side would accept. That must not be an error: a peer
        may have sent a counter that is just within the bound.

    Raises:
        TensorError: the model's tensors are not those of ``spec``.
        StorageError: the disk is full, read-only or failing.
    """
    with store.writer() as writer:
        writer.write(spec.header)
        for wanted, tensor in _paired(model, spec):
            copy = tensor.detach().to("cpu", TORCH_DTYPES[wanted.dtype]).contiguous()
            least, most = (bound.item() for bound in torch.aminmax(copy))
            counter = wanted.dtype is DType.I64
            if counter and least < 0:
                raise _no_counter(wanted.name, int(least))
            bound = MAX_COUNTER if counter else MAX_ABS
            if not (least >= -bound and most <= bound):  # NaN fails both comparisons
                return None
            writer.write(copy.reshape(-1).view(torch.uint8).numpy().data)
        return writer.commit()


def load_checkpoint(model: nn.Module, spec: ModelSpec, path: Path) -> None:
    """Copy the tensors of a file into ``model``, in place, at the model's own precision.

    The file's header must equal ``spec.header``; it is not parsed. Values are taken as they
    are: files that a peer sent went through :func:`check_file` before.

    Raises:
        TensorError: the file or the model is not one of ``spec``. The model may hold some of
            the file's tensors then.
        StorageError: the file cannot be read.
    """
    with (
        disk_errors(f"read checkpoint {path.name}"),
        path.open("rb", buffering=0) as file,
        torch.no_grad(),
    ):
        if file.read(len(spec.header)) != spec.header:
            raise TensorError(
                f"the header of {path.name} is not the one that the model specification gives"
            )
        for wanted, tensor in _paired(model, spec):
            copy = torch.empty(wanted.shape, dtype=TORCH_DTYPES[wanted.dtype])
            _fill(file, copy, wanted.name)
            tensor.copy_(copy)
        if file.read(1):
            raise TensorError(f"{path.name} goes on after its last tensor")


def _wire_dtype(name: str, tensor: object, floating: DType) -> DType:
    if not isinstance(tensor, Tensor) or nn.parameter.is_lazy(tensor):
        raise TensorError(
            f"{name} in the model's state is {type(tensor).__name__}, not a tensor of known shape",
            hint="remove get_extra_state from the module, and run lazy layers once in build_model",
        )
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise TensorError(f"tensor {name} is sparse or quantised", hint="make it dense")
    if tensor.is_floating_point():
        return floating
    if tensor.dtype != torch.int64:  # into a narrower one a peer's counter might not fit
        raise TensorError(
            f"tensor {name} has dtype {tensor.dtype}, which may not cross",
            hint="make the buffer int64, if it counts, or keep it out of the state:"
            " register_buffer(..., persistent=False)",
        )
    if tensor.device.type != "meta" and tensor.numel():
        least, most = (int(bound) for bound in torch.aminmax(tensor))
        if least < 0 or most > MAX_COUNTER:
            raise _no_counter(name, least if least < 0 else most)
    return DType.I64


def _no_counter(name: str, value: int) -> TensorError:
    return TensorError(
        f"integer buffer {name} holds {value}, but only counters from 0 to 2^53 may cross",
        hint="keep it out of the state: register_buffer(..., persistent=False)",
    )


def _paired(model: nn.Module, spec: ModelSpec) -> Iterator[tuple[TensorSpec, Tensor]]:
    """The model's tensors beside their specification, or TensorError at the first difference."""
    state = model.state_dict()
    for wanted in spec.tensors:
        tensor = state.pop(wanted.name, None)
        if tensor is None:
            raise _differs(f"it has no tensor {wanted.name}")
        if tuple(tensor.shape) != wanted.shape:
            raise _differs(f"{wanted.name} has shape {tuple(tensor.shape)}, not {wanted.shape}")
        counter = wanted.dtype is DType.I64
        if not (tensor.dtype == torch.int64 if counter else tensor.is_floating_point()):
            raise _differs(f"{wanted.name} has dtype {tensor.dtype}, not {wanted.dtype}")
        yield wanted, tensor
    if state:
        raise _differs(f"it also has a tensor {next(iter(state))}")


def _differs(how: str) -> TensorError:
    return TensorError(
        f"the model is not the one agreed on: {how}",
        hint="build the same model as the other party, or make a new agreement",
    )


def _fill(file: BinaryIO, tensor: Tensor, name: str) -> None:
    view = tensor.reshape(-1).view(torch.uint8).numpy().data
    while view:
        count = file.readinto(view)  # type: ignore[attr-defined]  # BinaryIO lacks it in typeshed
        if not count:
            raise TensorError(f"the file ends inside tensor {name}")
        view = view[count:]
