"""Libraries for test modules: heavy ones imported when a test first uses them, so that collecting the tests stays
quick, and ones that need not be installed.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import pytest


class Lazy:
    """Stands for a module, or as `Lazy("module:name")` for a function or class in it, until it is used.

    A test uses it as it would use the thing itself, also to replace an attribute. To subclass a class, or to ask what
    is an instance of it, import it inside the test instead.
    """

    def __init__(self, place: str) -> None:
        object.__setattr__(self, "_place", place)

    def _found(self) -> Any:
        module, _, name = self._place.partition(":")
        return getattr(import_module(module), name) if name else import_module(module)

    def __getattr__(self, name: str) -> Any:
        # pytest asks everything in a test module for names such as `__test__` and `_mock_name`: that is no use.
        if name.startswith("_") and name != "__version__":
            raise AttributeError(name)
        return getattr(self._found(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._found(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._found(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._found()(*args, **kwargs)


def needed(module: str) -> Any:
    """Import a module that an extra installs. Without it the test is skipped, except on CI, where nothing may be."""
    if os.environ.get("CI"):
        return import_module(module)
    return pytest.importorskip(module, reason=f"{module} is not installed: pip install -e '.[dev,dev-heavy]'")
