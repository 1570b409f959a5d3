"""What each half of a party must never do, refused inside the interpreter.

These walls stop mistakes, ours or a task's, and make them loud. They do not stop native code
that means harm; the operating system can, since the two halves are separate processes.
"""

import os
import socket
import sys
from collections.abc import Iterable
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, Final

NETWORK_FAMILIES: Final = {socket.AF_INET, socket.AF_INET6}
NETWORK_EVENTS: Final = {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"}
LOOKUP_EVENTS: Final = {
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.gethostbyaddr",
    "socket.getnameinfo",
}
TENSOR_MODULES: Final = {"torch", "torchvision"}


class WallError(RuntimeError):
    """A half of a party tried what only the other half may do."""


def forbid_network() -> None:
    """From now on, no Python code in this process opens a network connection."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in LOOKUP_EVENTS:
            raise WallError("the process that reads data may not look up hosts")
        if event in NETWORK_EVENTS and arguments[0].family in NETWORK_FAMILIES:
            raise WallError(
                "the process that reads data may not use the network: download data beforehand"
            )

    sys.addaudithook(hook)


def forbid_data(paths: Iterable[Path], modules: Iterable[str]) -> None:
    """From now on, this process neither opens ``paths`` nor imports ``modules`` or torch."""
    refused = [path.resolve() for path in paths]
    names = TENSOR_MODULES | {module.partition(".")[0] for module in modules} - {"assistlearn"}
    # The audit event for imports does not see importlib.import_module; a finder sees them all.
    sys.meta_path.insert(0, _Refuser(frozenset(names), frozenset(names | set(modules))))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path = Path(os.path.realpath(os.fsdecode(arguments[0])))  # behind links, too
            if any(path.is_relative_to(data) for data in refused):
                raise WallError(f"the process that has the keys may not open {path}")

    sys.addaudithook(hook)


class _Refuser(MetaPathFinder):
    """Finds no module for anybody, and refuses to look for some."""

    def __init__(self, packages: frozenset[str], modules: frozenset[str]) -> None:
        self._packages = packages
        self._modules = modules

    def find_spec(self, fullname: str, path: object, target: object = None, /) -> None:
        """Let other finders look, or refuse."""
        del path, target
        if fullname in self._modules or fullname.partition(".")[0] in self._packages:
            raise WallError(f"the process that has the keys may not import {fullname}")
