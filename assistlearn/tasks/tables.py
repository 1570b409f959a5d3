"""Tables (Parquet, CSV) and arrays (NPZ) on disk.

What a party's own data say must not shape the model or the scale of its inputs, or the two
parties would train different functions: classes, means and deviations are settings.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from assistlearn.errors import ConfigError, DataError
from assistlearn.tasks.columns import (
    Column,
    Scaling,
    class_numbers,
    classes_in,
    column,
    count_classes,
    numbers,
    read_npz,
    read_table,
    warn_of_wide,
)
from assistlearn.tasks.examples import TensorExamples
from assistlearn.tasks.forms import (
    ARRAY,
    BY_COLUMN,
    COUNT,
    NAME,
    NAMES,
    PATH,
    VALUES,
    Form,
    check_forms,
)
from assistlearn.tasks.recipe import Kind, Recipe, assemble
from assistlearn.tasks.references import did_you_mean
from assistlearn.tasks.splits import Share
from assistlearn.tasks.supervised import SupervisedTask

KINDS: Final = ("classification", "regression")
TABLE: Final[Mapping[str, Form]] = {
    "train": PATH,
    "test": PATH,
    "target": NAME,
    "features": NAMES,
    "classes": VALUES,
    "mean": BY_COLUMN,
    "std": BY_COLUMN,
    "fill": BY_COLUMN,
}
ARRAYS: Final[Mapping[str, Form]] = {
    "train": PATH,
    "test": PATH,
    "inputs": NAME,
    "targets": NAME,
    "classes": COUNT,
    "mean": ARRAY,
    "std": ARRAY,
}


def table(  # noqa: PLR0913  # settings of a file, by keyword
    *,
    train: str | Path,
    target: str,
    test: str | Path | None = None,
    features: Sequence[str] | None = None,
    task: Kind = "classification",
    classes: Sequence[Any] | None = None,
    mean: Mapping[str, float] | None = None,
    std: Mapping[str, float] | None = None,
    fill: Mapping[str, float] | None = None,
    share: Share | None = None,
    **recipe: Any,
) -> SupervisedTask:
    """Rows of a Parquet or CSV file, with numbers as features.

    Args:
        train: this party's file.
        target: name of the column to predict.
        test: file of held-out rows.
        features: columns to predict from, in this order; None for all others in file order.
        task: ``classification`` or ``regression``.
        classes: all values of the target, the same list on both sides. Needed where a party may
            lack a class; None takes the sorted values of ``train``.
        mean: subtracted from the columns named, the target of a regression included.
        std: the columns named are divided by it afterwards.
        fill: put in place of missing values in the columns named, before scaling.
        share: which part to take; None for all.
        **recipe: fields of :class:`Recipe`. Default: ``mlp``.

    Raises:
        DataError: a file or column is missing, or a value cannot be used.
        ConfigError: a setting is wrong.
    """
    settings = Recipe.read(recipe, table, {})
    given = {"train": train, "test": test, "target": target, "features": features}
    scales = {"mean": mean, "std": std, "fill": fill}
    check_forms({**given, "classes": classes, **scales}, TABLE)
    _check_kind(task)
    columns = read_table(Path(train))
    names = [name for name in columns if name != target] if features is None else [*features]
    scaling = Scaling(mean=mean or {}, std=std or {}, fill=fill or {})
    scaling.check([*names, target] if task == "regression" else names)
    if task == "classification" and classes is None:
        classes = classes_in(column(columns, target, Path(train)), target, Path(train))

    def examples(path: Path, columns: Mapping[str, Column]) -> tuple[TensorExamples, Column]:
        rows = [
            scaling.apply(name, numbers(column(columns, name, path), name, path), path)
            for name in names
        ]
        values = column(columns, target, path)
        if task == "regression":
            labels: Column = scaling.apply(target, numbers(values, target, path), path)
        else:
            labels = class_numbers(values, classes or (), target, path)
        inputs = torch.from_numpy(np.stack(rows, axis=1))
        if path == Path(train):
            warn_of_wide(names, inputs.numpy())
        return TensorExamples(inputs, torch.from_numpy(labels)), labels

    own, labels = examples(Path(train), columns)
    held_out = None if test is None else examples(Path(test), read_table(Path(test)))[0]
    return assemble(
        settings,
        train=own,
        test=held_out,
        labels=labels,
        kind=task,
        input_shape=(len(names),),
        outputs=len(classes or ()) if task == "classification" else 1,
        classes=classes if task == "classification" else None,
        share=share,
        features=names,
        target=target,
        mean=mean or None,
        std=std or None,
        fill=fill or None,
    )


def arrays(  # noqa: PLR0913  # settings of a file, by keyword
    *,
    train: str | Path,
    test: str | Path | None = None,
    inputs: str = "inputs",
    targets: str = "targets",
    task: Kind = "classification",
    classes: int | None = None,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    share: Share | None = None,
    **recipe: Any,
) -> SupervisedTask:
    """Arrays of an NPZ file: inputs of shape ``(N, ...)`` and targets ``(N,)`` or ``(N, D)``.

    Args:
        train: this party's file.
        test: file of held-out examples.
        inputs: name of the array of inputs.
        targets: name of the array of targets. Classes are numbered from 0.
        task: ``classification`` or ``regression``.
        classes: number of classes, the same on both sides; None for the largest label plus 1.
        mean: subtracted from the inputs; broadcast against one example.
        std: the inputs are divided by it afterwards; > 0.
        share: which part to take; None for all.
        **recipe: fields of :class:`Recipe`. Default: ``mlp``.

    Raises:
        DataError: a file or array is missing, or a value cannot be used.
        ConfigError: a setting is wrong.
    """
    settings = Recipe.read(recipe, arrays, {})
    given = {"train": train, "test": test, "inputs": inputs, "targets": targets}
    check_forms({**given, "classes": classes, "mean": mean, "std": std}, ARRAYS)
    _check_kind(task)
    if not (np.asarray(std, np.float32) > 0).all():
        raise ConfigError(
            f"std is {std}, must be > 0 everywhere",
            hint="give 1.0 for inputs that shall not be divided, the same on both sides",
        )

    def read(path: Path) -> tuple[Column, Column]:
        x, y = read_npz(path, inputs, targets)
        if x.dtype.kind not in "biuf":
            x = numbers(x, inputs, path)
        x = (x.astype(np.float32) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
        if not np.isfinite(x).all():
            raise DataError(
                f"array {inputs!r} of {path} holds values that are not finite",
                hint="remove or fill them before saving the file",
            )
        if task == "regression":
            y = numbers(y, targets, path).astype(np.float32)
            if not np.isfinite(y).all():
                raise DataError(
                    f"array {targets!r} of {path} holds values that are not finite",
                    hint="remove these examples",
                )
        else:
            y = class_numbers(y, range(classes or count_classes(y)), targets, path)
        return x, y

    x, y = read(Path(train))
    warn_of_wide([inputs], x.reshape(-1, 1))
    if task == "classification":
        classes = classes or count_classes(y)
    held_out = None if test is None else TensorExamples(*map(torch.from_numpy, read(Path(test))))
    return assemble(
        settings,
        train=TensorExamples(torch.from_numpy(x), torch.from_numpy(y)),
        test=held_out,
        labels=y if y.ndim == 1 else y[:, 0],
        kind=task,
        input_shape=x.shape[1:],
        outputs=classes if task == "classification" and classes else int(np.prod(y.shape[1:])),
        classes=classes if task == "classification" else None,
        share=share,
        mean=mean,
        std=std,
    )


def _check_kind(task: str) -> None:
    check_forms({"task": task}, {"task": NAME})
    if task not in KINDS:
        raise ConfigError(f"task {task!r} is unknown", hint=did_you_mean(task, KINDS))
