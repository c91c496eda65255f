"""Find and load plug-ins: formats and classifiers that other installed packages add through entry points.

A package adds a plug-in by naming an object in its metadata. This example adds a format called `brat`:

    [project.entry-points."communique.formats"]
    brat = "communique_brat:FORMAT"

The module that defines a group, such as `labels.exchange.formats`, documents the type of its objects. Every object has
an attribute `api`: the version of the group's interface for which the plug-in was written. Versions newer than the
supported version are refused. Importing this module reads nothing. Package metadata are read only when names are listed
or a name is not built in, and a plug-in's code runs only when that plug-in is used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from labels.errors import CommuniqueError, InputError

T = TypeVar("T")


@dataclass(frozen=True)
class PluginGroup(Generic[T]):
    """One kind of plug-in.

    - `name`: the entry-point group
    - `noun`: the word for a plug-in of this kind in messages
    - `type`: the required class of the plug-in objects
    - `api`: the newest supported version of the interface; versions count from 1
    - `builtins`: reserved names, which plug-ins cannot use
    """

    name: str
    noun: str
    type: type[T]
    api: int
    builtins: Collection[str]

    def names(self) -> list[str]:
        """Return the names of the plug-ins in alphabetical order, without importing a plug-in."""
        return sorted({entry.name for entry in entry_points(group=self.name)} - set(self.builtins))

    def load(self, name: str) -> T | None:
        """Return the plug-in called `name`, or None if the name is built in or no package adds it.

        Raises:
            InputError: the plug-in cannot be imported, has the wrong type or needs a newer interface, or two packages
                add the same name. The message is one line and names the package.
        """
        if name in self.builtins:
            return None
        found = list(entry_points(group=self.name, name=name))
        if len(found) > 1:
            packages = " and ".join(sorted(map(package_of, found)))
            raise InputError(f"{self.noun} '{name}' is added by {packages}. Uninstall one of these packages.")
        return self._loaded(found[0]) if found else None

    def shadowed(self) -> list[str]:
        """Return one line per plug-in that is ignored because its name is built in."""
        taken = [entry for entry in entry_points(group=self.name) if entry.name in self.builtins]
        return [
            f"{self._described(entry)} is ignored: the name is built in. The package must choose another name."
            for entry in taken
        ]

    @contextmanager
    def blaming(self, name: str) -> Iterator[None]:
        """Report errors from a plug-in's code inside the block as one line that names the plug-in's package.

        Errors in built-in code, and any `CommuniqueError`, pass through unchanged.

        Raises:
            InputError: the plug-in's code failed inside the block.
        """
        try:
            yield
        except CommuniqueError:
            raise  # its message already says what is wrong with the input
        except Exception as error:
            if name in self.builtins:
                raise
            package = " and ".join(package_of(entry) for entry in entry_points(group=self.name, name=name))
            raise InputError(
                f"{self.noun} '{name}' of {package} failed ({_one_line(error)}). Report the error to its authors."
            ) from error

    def describe(self, name: str) -> str:
        """Return a plug-in and its package for messages: `classifier 'bayes' of package communique-bayes 1.0`."""
        return " and ".join(map(self._described, entry_points(group=self.name, name=name)))

    def _described(self, entry: EntryPoint) -> str:
        return f"{self.noun} '{entry.name}' of {package_of(entry)}"

    def _loaded(self, entry: EntryPoint) -> T:
        who = self._described(entry)
        try:
            found = entry.load()
        # Any failure while a plug-in is imported, even an exit, is reported as an error of its package.
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{who} cannot be loaded ({_one_line(error)}). Update or uninstall that package."
            ) from error
        # Check the version first, because an object for a newer interface may have another type.
        api = getattr(found, "api", None)
        if isinstance(api, int) and api > self.api:
            raise InputError(
                f"{who} needs version {api} of the plug-in interface, but this version of communique has version "
                f"{self.api}. Update communique, or install an older version of that package."
            )
        if not isinstance(found, self.type) or not isinstance(api, int) or api < 1:
            raise InputError(
                f"{who} is of type {type(found).__name__}, but must be of type {self.type.__name__} and have an "
                f"integer `api` from 1 to {self.api}. Update or uninstall that package."
            )
        if (own := getattr(found, "name", entry.name)) != entry.name:
            raise InputError(
                f"{who} has the attribute name = '{own}'. The package must use one name for the attribute and the "
                "entry point."
            )
        return found


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def package_of(entry: EntryPoint) -> str:
    """Return the package of an entry point for messages: `package communique-brat 1.0`."""
    return f"package {entry.dist.name} {entry.dist.version}" if entry.dist else "an unnamed package"
