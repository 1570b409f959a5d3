"""What most rows need: two parties that know each other, and checkpoints that lie ready."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from assistlearn.checkpoints import DType, ModelSpec, TensorSpec
from assistlearn.digests import digest
from parties.directory import PartyDirectory
from parties.settings import TermsSettings
from parties.setup import add_peer, make_party
from parties.simulate.processes import free_port
from parties.simulate.toml import toml_text
from protocols.roles import Role

CHECKPOINT_MB: Final = 45.0
LAYERS: Final = 60
NUMBERS: Final = 11_250_000
NOT_LOADED: Final = {"factory": "assistlearn.tasks:digits"}


def big_spec(numbers: int = NUMBERS) -> ModelSpec:
    """A model of about 45 MB in tensors of equal size."""
    return ModelSpec(
        tuple(
            TensorSpec(name=f"layer.{i}", dtype=DType.F32, shape=(numbers // LAYERS,), buffer=False)
            for i in range(LAYERS)
        )
    )


def set_up_parties(
    folder: Path,
    *,
    terms: Mapping[str, Any],
    task: Mapping[str, Any] = NOT_LOADED,
    deadline_s: float = 60.0,
) -> Mapping[Role, Path]:
    """Two party directories that have each other's cards.

    Args:
        folder: a new folder.
        terms: of both; see :class:`TermsSettings`.
        task: the ``[task]`` table of both.
        deadline_s: of the link.
    """
    whole = TermsSettings(
        task="benchmark", loss_precision="exact", round_bytes=1 << 40, **terms
    ).model_dump()
    address = f"tcp://127.0.0.1:{free_port()}"
    directories = {role: folder / role.value for role in Role}
    cards = {}
    for role, directory in directories.items():
        end = "listen" if role is Role.PROVIDER else "provider"
        table = {
            "role": role.value,
            "terms": {name: value for name, value in whole.items() if value is not None},
            "task": {"device": "cpu", "threads": 1, **task},
            "link": {end: address, "deadline_s": deadline_s},
        }
        cards[role] = make_party(directory, role=role, name=role.value, config=toml_text(table))
    for role, directory in directories.items():
        add_peer(PartyDirectory(directory), cards[role.peer])
    return directories


@dataclass(frozen=True)
class ReadyModels:
    """Checkpoint files that stand for a trajectory, so that nobody has to train."""

    folder: Path
    spec: ModelSpec
    digests: Sequence[str]

    @classmethod
    def write(cls, folder: Path, count: int, *, spec: ModelSpec) -> Self:
        """Write ``count`` files that differ, and a list of them."""
        folder.mkdir(parents=True)
        values = np.random.default_rng(0).normal(size=spec.elements).astype("<f4")
        digests = []
        for number in range(count):
            values[0] = number
            data = spec.header + values.tobytes()
            digests.append(digest(data))
            (folder / f"{digests[-1]}.safetensors").write_bytes(data)
        listed = {"spec": spec.text(), "digests": digests}
        (folder / "models.json").write_text(json.dumps(listed), encoding="ascii")
        return cls(folder, spec, digests)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What :meth:`write` left in ``folder``."""
        listed = json.loads((folder / "models.json").read_text(encoding="ascii"))
        return cls(folder, ModelSpec.parse(listed["spec"]), listed["digests"])

    def put(self, number: int, store: Path) -> str:
        """Let file ``number`` appear in a store, at no cost; its digest."""
        name = self.digests[number % len(self.digests)]
        target = store / f"{name}.safetensors"
        if not target.exists():
            os.link(self.folder / target.name, target)
        return name
