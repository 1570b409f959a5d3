import pytest
import torch
from torch import nn

from assistlearn.errors import ConfigError
from assistlearn.tasks import MODELS, model_factory

GREY, COLOUR = (1, 8, 8), (3, 32, 32)


def parameters(model: nn.Module) -> int:
    return sum(each.numel() for each in model.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "settings"),
    [
        ("linear", (7,), {}),
        ("mlp", GREY, {"hidden": [5, 6], "dropout": 0.1}),
        ("mlp", (7,), {"hidden": []}),
        ("small_cnn", GREY, {"width": 4}),
        ("small_cnn", (3, 33, 20), {}),
        ("alexnet32", COLOUR, {}),
        ("alexnet32", (1, 28, 28), {"dropout": 0.0}),
        ("resnet18", COLOUR, {}),
        ("resnet18", (1, 64, 64), {"small_images": False, "norm": "group"}),
    ],
)
def test_model_fits_its_data(
    name: str, shape: tuple[int, ...], settings: dict[str, object]
) -> None:
    build = model_factory(name, input_shape=shape, outputs=4, settings=settings)

    assert build().eval()(torch.zeros(2, *shape)).shape == (2, 4)


def test_every_model_has_a_known_size() -> None:
    sizes = {
        name: parameters(model_factory(name, input_shape=COLOUR, outputs=10)()) for name in MODELS
    }

    assert sizes == {
        "linear": 30_730,
        "mlp": 3072 * 64 + 64 + 650,
        "small_cnn": 448 + 4640 + 20_490,
        "alexnet32": 23_272_266,
        "resnet18": 11_173_962,
    }


def test_dropout_of_alexnet_is_kept() -> None:
    model = model_factory("alexnet32", input_shape=COLOUR, outputs=10)()

    assert [each.p for each in model.modules() if isinstance(each, nn.Dropout)] == [0.5, 0.5]


def test_group_norm_leaves_no_running_statistics() -> None:
    build = model_factory("resnet18", input_shape=COLOUR, outputs=2, settings={"norm": "group"})

    assert list(build().buffers()) == []


def test_two_calls_build_two_models_with_weights_of_their_own() -> None:
    build = model_factory("mlp", input_shape=(3,), outputs=2)
    torch.manual_seed(0)
    first, second = build(), build()
    torch.manual_seed(0)

    assert torch.equal(build().get_parameter("1.weight"), first.get_parameter("1.weight"))
    assert not torch.equal(first.get_parameter("1.weight"), second.get_parameter("1.weight"))


def own_model(input_shape: tuple[int, ...], outputs: int, *, gain: float) -> nn.Module:
    model = nn.Linear(input_shape[0], outputs)
    nn.init.constant_(model.weight, gain)
    return model


def test_model_may_come_from_any_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "own_model", own_model, raising=False)

    build = model_factory("torch:own_model", input_shape=(3,), outputs=2, settings={"gain": 2.0})

    assert build()(torch.ones(1, 3)).shape == (1, 2)


@pytest.mark.parametrize(
    ("name", "shape", "settings", "complaint", "hint"),
    [
        ("resnet", COLOUR, {}, "'resnet' is unknown", "resnet18"),
        ("zzz", COLOUR, {}, "'zzz'", "choose one of"),
        ("mlp", COLOUR, {"hiden": [3]}, "'hiden'", "'hidden'"),
        ("linear", COLOUR, {"hidden": [3]}, "'hidden'", "remove it"),
        ("alexnet32", GREY, {}, r"shape \(1, 8, 8\)", "mlp"),
        ("small_cnn", (7,), {}, r"shape \(7,\)", "mlp"),
        ("mlp", COLOUR, {"hidden": ["x"]}, "does not work", "mlp"),
        ("resnet18", COLOUR, {"norm": "layer"}, "'layer'", "batch"),
        ("nobody_has_this:make", COLOUR, {}, "no module", "install"),
    ],
)
def test_wrong_model_settings_are_refused_with_a_hint(
    name: str, shape: tuple[int, ...], settings: dict[str, object], complaint: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        model_factory(name, input_shape=shape, outputs=2, settings=settings)

    assert hint in caught.value.hint
