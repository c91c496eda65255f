"""Plug-ins: formats and classifiers that other installed packages add, found by their entry points.

A package offers one by naming an object in its metadata, here a format called `brat`:

    [project.entry-points."communique.formats"]
    brat = "communique_brat:FORMAT"

What the object must be is said where the group is defined (`labels.exchange.formats`). Common to all groups: the
object has an attribute `api`, the version of the group's interface that it was written for; a version newer than ours
is refused. Nothing is read when this module is imported: metadata are read when a name is asked for that is not built
in or when names are listed, and a plug-in's code runs only when its own name is used.
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

    `name` is the entry-point group, `noun` what one of its objects is called in messages, `type` the class that it
    must be an instance of, `api` the newest version of the interface that is understood (versions count from 1), and
    `builtins` the names that no plug-in can take.
    """

    name: str
    noun: str
    type: type[T]
    api: int
    builtins: Collection[str]

    def names(self) -> list[str]:
        """The names that plug-ins add, in alphabetical order; no plug-in is imported."""
        return sorted({entry.name for entry in entry_points(group=self.name)} - set(self.builtins))

    def load(self, name: str) -> T | None:
        """The plug-in of a name; None where no package adds it, or the name is built in.

        Raises:
            InputError: the plug-in cannot be imported, is not what the group holds, needs a newer interface, or two
                packages add the same name; the message is one line and names the package.
        """
        if name in self.builtins:
            return None
        found = list(entry_points(group=self.name, name=name))
        if len(found) > 1:
            packages = " and ".join(sorted(map(package_of, found)))
            raise InputError(f"{self.noun} '{name}' is added by {packages}. Uninstall one of them.")
        return self._loaded(found[0]) if found else None

    def shadowed(self) -> list[str]:
        """One line for each plug-in that is ignored because its name is built in."""
        taken = [entry for entry in entry_points(group=self.name) if entry.name in self.builtins]
        return [
            f"{self._described(entry)} is ignored: the name is built in. The package must choose another."
            for entry in taken
        ]

    @contextmanager
    def blaming(self, name: str) -> Iterator[None]:
        """Report an error in a plug-in's own code as one line that names its package; built-in code is left alone.

        Raises:
            InputError: what runs in the block failed, other than with one of our own errors.
        """
        try:
            yield
        except CommuniqueError:
            raise  # it says itself what is wrong with the input
        except Exception as error:
            if name in self.builtins:
                raise
            package = " and ".join(package_of(entry) for entry in entry_points(group=self.name, name=name))
            raise InputError(
                f"{self.noun} '{name}' of {package} failed ({_one_line(error)}). Report this to its authors."
            ) from error

    def describe(self, name: str) -> str:
        """A plug-in and its package, as messages begin: `classifier 'bayes' of package communique-bayes 1.0`."""
        return " and ".join(map(self._described, entry_points(group=self.name, name=name)))

    def _described(self, entry: EntryPoint) -> str:
        return f"{self.noun} '{entry.name}' of {package_of(entry)}"

    def _loaded(self, entry: EntryPoint) -> T:
        who = self._described(entry)
        try:
            found = entry.load()
        # Whatever another package's code does on import, even exit, is reported as that package's fault.
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{who} cannot be loaded ({_one_line(error)}). Update or uninstall that package."
            ) from error
        # The version is checked first: an object for a newer interface need not look like one of ours.
        api = getattr(found, "api", None)
        if isinstance(api, int) and api > self.api:
            raise InputError(
                f"{who} needs version {api} of the plug-in interface, and this communique has version {self.api}. "
                "Update communique, or install an older version of that package."
            )
        if not isinstance(found, self.type) or not isinstance(api, int) or api < 1:
            raise InputError(
                f"{who} is of type {type(found).__name__}, but must be of type {self.type.__name__} and have an "
                f"integer `api` from 1 to {self.api}. Update or uninstall that package."
            )
        if (own := getattr(found, "name", entry.name)) != entry.name:
            raise InputError(f"{who} calls itself '{own}'. Its package must use one name.")
        return found


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def package_of(entry: EntryPoint) -> str:
    """The package that an entry point belongs to, as messages name it: `package communique-brat 1.0`."""
    return f"package {entry.dist.name} {entry.dist.version}" if entry.dist else "an unnamed package"
