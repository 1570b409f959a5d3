from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from assistlearn.checkpoints import MAX_COUNTER, CheckpointStore, DType, check_file
from assistlearn.checkpoints.tensors import (
    WireDType,
    load_checkpoint,
    model_spec,
    same_precision,
    save_checkpoint,
)
from assistlearn.errors import TensorError

WIRE: list[WireDType] = ["float32", "float16", "bfloat16"]


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 2))


def trained_a_little(model: nn.Module) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train()(torch.randn(8, 1, 6, 6)).square().mean().backward()
    optimizer.step()


def saved(model: nn.Module, folder: Path, wire: WireDType = "float32") -> Path:
    store, spec = CheckpointStore(folder), model_spec(model, wire_dtype=wire)
    digest = save_checkpoint(model, spec, store)
    assert digest is not None
    return store.path(digest)


def test_specification_lists_parameters_and_buffers_in_state_dict_order() -> None:
    spec = model_spec(network())

    assert [tensor.name for tensor in spec.tensors] == [*network().state_dict()]
    assert spec.buffers == ("1.running_mean", "1.running_var", "1.num_batches_tracked")
    assert {tensor.dtype for tensor in spec.tensors} == {DType.F32, DType.I64}
    assert spec.tensors[0].shape == (3, 1, 3, 3)


def test_stored_checkpoints_differ_after_further_training(tmp_path: Path) -> None:
    # The authors' released code stored aliases, so that every checkpoint was the last model.
    model = network()
    first = saved(model, tmp_path)
    before = safetensors.torch.load_file(first)
    trained_a_little(model)
    second = saved(model, tmp_path)

    after = safetensors.torch.load_file(second)

    assert first != second
    for name in ("0.weight", "3.weight", "1.running_mean", "1.num_batches_tracked"):
        assert not torch.equal(before[name], after[name]), name


@pytest.mark.parametrize("wire", WIRE)
def test_file_is_plain_safetensors_that_passes_its_own_check(
    tmp_path: Path, wire: WireDType
) -> None:
    model = network()
    path = saved(model, tmp_path, wire)

    check_file(path, model_spec(model, wire_dtype=wire))
    tensors = safetensors.torch.load_file(path)

    for name, tensor in model.state_dict().items():
        dtype = getattr(torch, wire) if tensor.is_floating_point() else torch.int64
        torch.testing.assert_close(tensors[name], tensor.to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize("wire", WIRE)
def test_loading_gives_the_rounded_model_with_its_buffers(tmp_path: Path, wire: WireDType) -> None:
    model, other = network(1), network(2)
    trained_a_little(model)
    path = saved(model, tmp_path, wire)

    load_checkpoint(other, model_spec(other, wire_dtype=wire), path)

    for name, tensor in other.state_dict().items():
        wanted = model.state_dict()[name]
        if wanted.is_floating_point():
            wanted = wanted.to(getattr(torch, wire)).float()
        assert torch.equal(tensor, wanted), name


def test_only_full_precision_on_the_wire_rounds_nothing() -> None:
    model = network()

    assert same_precision(model, model_spec(model))
    assert not same_precision(model, model_spec(model, wire_dtype="bfloat16"))
    half = network().bfloat16()
    assert same_precision(half, model_spec(half, wire_dtype="bfloat16"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1.1e6, -1.1e6])
@pytest.mark.parametrize("wire", WIRE)
def test_diverged_model_is_not_stored(tmp_path: Path, value: float, wire: WireDType) -> None:
    model = network()
    with torch.no_grad():
        model.get_parameter("3.weight")[1, 7] = value

    store = CheckpointStore(tmp_path)

    assert save_checkpoint(model, model_spec(model, wire_dtype=wire), store) is None
    assert store.digests() == frozenset()
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_transposed_and_tied_tensors_are_stored_in_logical_order(tmp_path: Path) -> None:
    model = nn.Module()
    model.a = nn.Parameter(torch.arange(6.0).reshape(2, 3).T)
    model.b = model.a

    tensors = safetensors.torch.load_file(saved(model, tmp_path))

    assert torch.equal(tensors["a"], torch.arange(6.0).reshape(2, 3).T)
    assert torch.equal(tensors["b"], tensors["a"])


def test_training_on_from_the_largest_counter_gives_no_checkpoint_and_no_error(
    tmp_path: Path,
) -> None:
    """A peer may send it: what follows must not look like a fault of ours."""
    model = network()
    model.get_buffer("1.num_batches_tracked").fill_(MAX_COUNTER)
    store, spec = CheckpointStore(tmp_path), model_spec(model)
    check_file(saved(model, tmp_path), spec)
    before = store.digests()

    trained_a_little(model)

    assert save_checkpoint(model, spec, store) is None
    assert store.digests() == before


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.int8, torch.uint8])
def test_a_counter_into_which_a_peers_might_not_fit_is_refused_at_once(dtype: torch.dtype) -> None:
    with pytest.raises(TensorError, match=f"extra has dtype {dtype}") as caught:
        model_spec(with_buffer(torch.zeros((), dtype=dtype)))

    assert "int64" in caught.value.hint
    assert "persistent=False" in caught.value.hint


def test_a_model_with_a_narrower_counter_than_specified_is_refused(tmp_path: Path) -> None:
    wide, narrow = (with_buffer(torch.tensor(3, dtype=d)) for d in (torch.int64, torch.int32))

    with pytest.raises(TensorError, match=r"extra has dtype torch\.int32, not I64"):
        load_checkpoint(narrow, model_spec(wide), saved(wide, tmp_path))


class WithExtraState(nn.Linear):
    def get_extra_state(self) -> object:
        return {"anything": 1}

    def set_extra_state(self, state: object) -> None:
        pass


def with_buffer(buffer: Tensor) -> nn.Module:
    model = nn.Linear(2, 2)
    model.register_buffer("extra", buffer)
    return model


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (WithExtraState(2, 2), "_extra_state .* dict"),
        (nn.LazyLinear(2), "UninitializedParameter"),
        (with_buffer(torch.zeros(2, dtype=torch.bool)), "torch.bool"),
        (with_buffer(torch.zeros(2, dtype=torch.complex64)), "torch.complex64"),
        (with_buffer(torch.tensor([-1, 2])), "holds -1"),
        (with_buffer(torch.tensor([0, 2**53 + 1])), "holds 9007199254740993"),
        (with_buffer(torch.eye(2).to_sparse()), "sparse"),
    ],
    ids=["extra state", "lazy", "bool", "complex", "negative", "too large", "sparse"],
)
@pytest.mark.filterwarnings("ignore:Sparse")
def test_tensors_that_may_not_cross_are_refused_with_a_hint(
    model: nn.Module, complaint: str
) -> None:
    with pytest.raises(TensorError, match=complaint) as caught:
        model_spec(model)

    assert caught.value.hint


def test_unknown_wire_precision_is_refused() -> None:
    with pytest.raises(TensorError, match="float8"):
        model_spec(network(), wire_dtype="float8")  # type: ignore[arg-type]


def test_counter_that_turned_negative_is_refused_when_stored(tmp_path: Path) -> None:
    model = network()
    spec = model_spec(model)
    model.get_buffer("1.num_batches_tracked").fill_(-3)

    with pytest.raises(TensorError, match="num_batches_tracked holds -3"):
        save_checkpoint(model, spec, CheckpointStore(tmp_path))


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (nn.Sequential(nn.Linear(2, 3)), "no tensor 0.bias"),
        (nn.Sequential(nn.Linear(3, 2, bias=False)), "shape"),
        (nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(1, 1)), "also has a tensor 1.weight"),
    ],
)
def test_model_other_than_the_specified_one_is_refused(
    tmp_path: Path, other: nn.Module, complaint: str
) -> None:
    agreed = nn.Sequential(nn.Linear(2, 3, bias="no tensor" in complaint))

    if "no tensor" in complaint:
        other = nn.Sequential(nn.Linear(2, 3, bias=False))
    with pytest.raises(TensorError, match=complaint):
        save_checkpoint(other, model_spec(agreed), CheckpointStore(tmp_path))


def test_integer_in_place_of_a_float_is_refused(tmp_path: Path) -> None:
    agreed = with_buffer(torch.zeros(2))

    with pytest.raises(TensorError, match="extra has dtype"):
        save_checkpoint(
            with_buffer(torch.zeros(2, dtype=torch.int64)),
            model_spec(agreed),
            CheckpointStore(tmp_path),
        )


def test_file_with_another_header_or_length_is_not_loaded(tmp_path: Path) -> None:
    model = network()
    spec, whole = model_spec(model), saved(network(), tmp_path).read_bytes()
    cases = {
        "header": b"\0" + whole[1:],
        "ends inside": whole[:-9],
        "goes on": whole + b"\0",
    }
    for complaint, data in cases.items():
        path = tmp_path / "changed"
        path.write_bytes(data)
        with pytest.raises(TensorError, match=complaint):
            load_checkpoint(model, spec, path)


def test_largest_tensor_bounds_the_memory_of_storing(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    model = nn.ModuleList(nn.Linear(1024, 512, bias=False) for _ in range(24))  # 48 MiB
    spec, store = model_spec(model), CheckpointStore(tmp_path)
    process = psutil.Process()
    save_checkpoint(model, spec, store)

    before = process.memory_info().rss
    for _ in range(3):
        with torch.no_grad():
            model[0].weight.add_(1)
        save_checkpoint(model, spec, store)
        load_checkpoint(model, spec, store.path(next(iter(store.digests()))))

    assert process.memory_info().rss - before < 24 << 20
