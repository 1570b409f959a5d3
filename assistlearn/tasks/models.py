"""Models by name. Input shape and number of outputs follow from the data.

Sizes below are for inputs of shape ``(B, C, H, W)``.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import torch
from torch import nn

from assistlearn.errors import ConfigError
from assistlearn.tasks.references import did_you_mean, import_reference

Shape = tuple[int, ...]
GROUPS: Final = 32  # of GroupNorm, the number its paper settles on (arXiv:1803.08494)


def linear(input_shape: Shape, outputs: int) -> nn.Module:
    """Linear or logistic regression on the flattened input."""
    return nn.Sequential(nn.Flatten(), nn.Linear(_flat(input_shape), outputs))


def mlp(
    input_shape: Shape, outputs: int, *, hidden: Sequence[int] = (64,), dropout: float = 0.0
) -> nn.Module:
    """Fully connected layers with ReLU; dropout after each hidden layer if asked for."""
    layers: list[nn.Module] = [nn.Flatten()]
    width = _flat(input_shape)
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        width = size
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def small_cnn(input_shape: Shape, outputs: int, *, width: int = 16) -> nn.Module:
    """Two convolutions with max-pooling and one linear layer, for images from 4x4 on."""
    return _with_head(
        nn.Sequential(
            nn.Conv2d(input_shape[0], width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        ),
        input_shape,
        lambda features: nn.Linear(features, outputs),
    )


def alexnet32(input_shape: Shape, outputs: int, *, dropout: float = 0.5) -> nn.Module:
    """AlexNet for 32x32 images: five convolutions, three linear layers, dropout.

    The paper does not print its layers; these are the ones common for CIFAR: kernels of 3x3, a
    stride of 2 in the first convolution, 4096 units. 23.3 million parameters for 10 classes.
    """
    return _with_head(
        nn.Sequential(
            nn.Conv2d(input_shape[0], 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 192, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        ),
        input_shape,
        lambda features: nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(features, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, outputs),
        ),
    )


def resnet18(
    input_shape: Shape, outputs: int, *, small_images: bool = True, norm: str = "batch"
) -> nn.Module:
    """ResNet-18 of torchvision, without pretrained weights.

    Args:
        input_shape: ``(C, H, W)``.
        outputs: number of outputs.
        small_images: 3x3 first convolution and no first pooling, as is usual for 32x32 images.
        norm: ``"batch"``; or ``"group"``, which has no running statistics that could travel.
    """
    from torchvision.models import resnet18 as torchvision_resnet18  # noqa: PLC0415  # slow import

    norms: dict[str, Callable[..., nn.Module]] = {
        "batch": nn.BatchNorm2d,
        "group": partial(nn.GroupNorm, GROUPS),
    }
    if norm not in norms:
        raise ConfigError(f"norm {norm!r} is unknown", hint=did_you_mean(norm, norms))
    model: nn.Module = torchvision_resnet18(num_classes=outputs, norm_layer=norms[norm])
    channels = input_shape[0]
    if small_images:
        model.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    else:
        model.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    return model


MODELS: Final[Mapping[str, Callable[..., nn.Module]]] = {
    "alexnet32": alexnet32,
    "linear": linear,
    "mlp": mlp,
    "resnet18": resnet18,
    "small_cnn": small_cnn,
}


def model_factory(
    name: str, *, input_shape: Shape, outputs: int, settings: Mapping[str, Any] | None = None
) -> Callable[[], nn.Module]:
    """A function that builds the model called ``name`` for this data, newly initialised.

    Args:
        name: a key of ``MODELS``, or ``package.module:function``, which is called with the
            arguments of the functions above.
        input_shape: shape of one example.
        outputs: classes, or target values.
        settings: further keyword arguments of the model.

    Raises:
        ConfigError: no such model, it does not take these settings, or it does not accept
            inputs of this shape.
    """
    settings = dict(settings or {})
    if ":" in name:
        make = import_reference(name, what="model")
    elif name in MODELS:
        make = MODELS[name]
        _check_settings(name, make, settings)
    else:
        raise ConfigError(f"model {name!r} is unknown", hint=did_you_mean(name, MODELS))
    build: Callable[[], nn.Module] = partial(make, tuple(input_shape), outputs, **settings)
    if name in MODELS:
        _try_out(name, build, input_shape)
    return build


def _check_settings(name: str, make: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    known = [*inspect.signature(make).parameters][2:]
    for setting in settings:
        if setting not in known:
            raise ConfigError(
                f"model {name} has no setting {setting!r}",
                hint=did_you_mean(setting, known) if known else "remove it: there are none",
            )


def _try_out(name: str, build: Callable[[], nn.Module], input_shape: Shape) -> None:
    """Build and run the model without memory or arithmetic, to refuse it before round 1."""
    try:
        with torch.device("meta"), torch.no_grad():
            build().eval()(torch.zeros(2, *input_shape))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise ConfigError(
            f"model {name} does not work on inputs of shape {tuple(input_shape)}: {error}",
            hint='choose "mlp" or "linear" for tables, or larger images',
        ) from error


def _flat(input_shape: Shape) -> int:
    return int(torch.Size(input_shape).numel())


def _with_head(
    body: nn.Module, input_shape: Shape, head: Callable[[int], nn.Module]
) -> nn.Sequential:
    """``body`` followed by the head for the number of features that it gives.

    A global pooling would do without counting, but its gradient on CUDA is not deterministic.
    """
    with torch.no_grad():
        features = int(body(torch.zeros(1, *input_shape)).shape[1])
    return nn.Sequential(body, head(features))
