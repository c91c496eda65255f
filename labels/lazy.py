"""A package's public names, imported when they are first used, so that importing the package itself stays cheap."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__` for names that live in the modules that `homes` maps them to.

    Raises:
        AttributeError: (when called) the package has no such name.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(import_module(homes[name]), name)

    def names() -> list[str]:
        # What a user may ask for: not the imports and constants that the package's own file needs.
        own = vars(sys.modules[package]).items()
        return sorted({*homes, *(name for name, value in own if name[:2] == "__" or isinstance(value, ModuleType))})

    return find, names
