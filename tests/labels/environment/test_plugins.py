from __future__ import annotations

from pathlib import Path

import pytest

from labels.environment.plugins import PluginGroup
from labels.errors import DataError, InputError
from tests.labels.plugin_package import install_plugin

GROUP = PluginGroup("communique.greetings", "greeting", Exception, api=1, builtins=("hello",))
HI = """
class Greeting(Exception):
    def __init__(self, api):
        self.api = api

HELLO, HI = Greeting(1), Greeting(1)
NEWER, ZERO, UNVERSIONED = Greeting(2), Greeting(0), Exception()
WORDS = "hi"
"""
ENTRIES = {
    "hello": "hi_greetings:HELLO",
    "hi": "hi_greetings:HI",
    "newer": "hi_greetings:NEWER",
    "zero": "hi_greetings:ZERO",
    "unversioned": "hi_greetings:UNVERSIONED",
    "words": "hi_greetings:WORDS",
    "nameless": "hi_greetings:NAMELESS",
}
BROKEN = {"broken": "broken_greetings:X", "exits": "exiting_greetings:X", "hey": "broken_greetings:X"}
BROKEN_MODULES = {
    "broken_greetings": "raise RuntimeError('two\\nlines')",
    "exiting_greetings": "raise SystemExit(3)",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two packages, one of them broken, each in a folder of its own, and a third that shares a name with the second."""
    folders = [tmp_path_factory.mktemp("plugin") for _ in range(3)]
    return [
        install_plugin(folders[0], "hi-greetings", GROUP.name, ENTRIES, {"hi_greetings": HI}),
        install_plugin(folders[1], "broken-greetings", GROUP.name, BROKEN, BROKEN_MODULES),
        install_plugin(folders[2], "hey-greetings", GROUP.name, {"hey": "hey_greetings:X"}, {"hey_greetings": ""}),
    ]


@pytest.fixture(autouse=True)
def _on_the_path(installed: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in installed:
        monkeypatch.syspath_prepend(folder)


def test_names_are_listed_whatever_is_broken() -> None:
    assert GROUP.names() == sorted({*ENTRIES, *BROKEN} - {"hello"})


def test_a_plugin_is_loaded_beside_a_broken_one() -> None:
    assert type(GROUP.load("hi")).__name__ == "Greeting"
    assert GROUP.load("absent") is None


def test_a_built_in_name_cannot_be_taken() -> None:
    assert GROUP.load("hello") is None
    assert GROUP.shadowed() == [
        "greeting 'hello' of package hi-greetings 1.5 is ignored: the name is built in. "
        "The package must choose another name."
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", r"package broken-greetings 1\.5 cannot be loaded \(RuntimeError: two lines\)"),
        ("exits", r"package broken-greetings 1\.5 cannot be loaded \(SystemExit: 3\)"),
        ("nameless", r"package hi-greetings 1\.5 cannot be loaded \(AttributeError: "),
        ("newer", r"package hi-greetings 1\.5 needs version 2 of the plug-in interface, .* has version 1\."),
        (
            "zero",
            r"package hi-greetings 1\.5 is of type Greeting, but must be of type Exception and have an integer `api`",
        ),
        ("unversioned", r"package hi-greetings 1\.5 is of type Exception, but must be"),
        ("words", r"package hi-greetings 1\.5 is of type str, but must be"),
        ("hey", r"is added by package broken-greetings 1\.5 and package hey-greetings 1\.5\. Uninstall one"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_one_line(name: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"^greeting '{name}' (of )?{message}[^\n]*$"):
        GROUP.load(name)


@pytest.mark.parametrize(("name", "error"), [("hello", KeyError("ours")), ("hi", DataError("a bad row"))])
def test_only_errors_of_a_plugins_own_code_are_put_on_its_package(name: str, error: Exception) -> None:
    with pytest.raises(type(error)) as raised, GROUP.blaming(name):
        raise error
    assert raised.value is error
    message = r"^greeting 'hi' of package hi-greetings 1\.5 failed \(KeyError: 'theirs'\)"
    with pytest.raises(InputError, match=message), GROUP.blaming("hi"):
        raise KeyError("theirs")
