"""Tasks to name in settings files, and parts to build your own from."""

from assistlearn.tasks.bundled import digits
from assistlearn.tasks.examples import DatasetExamples, Examples, ShuffledEpochs, TensorExamples
from assistlearn.tasks.images import image_folder, torchvision_images
from assistlearn.tasks.loading import load_task
from assistlearn.tasks.models import MODELS, model_factory
from assistlearn.tasks.recipe import Recipe
from assistlearn.tasks.splits import Share, quantile_classes, share_indices
from assistlearn.tasks.supervised import SupervisedTask
from assistlearn.tasks.tables import arrays, table

__all__ = [
    "MODELS",
    "DatasetExamples",
    "Examples",
    "Recipe",
    "Share",
    "ShuffledEpochs",
    "SupervisedTask",
    "TensorExamples",
    "arrays",
    "digits",
    "image_folder",
    "load_task",
    "model_factory",
    "quantile_classes",
    "share_indices",
    "table",
    "torchvision_images",
]
