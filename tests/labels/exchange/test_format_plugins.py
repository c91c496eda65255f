"""Formats that another package adds, with that package built and installed."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.errors import InputError
from labels.exchange import formats
from labels.exchange.driver import read_file
from labels.store import Store
from tests.labels.exchange.steps import MULTI, bring_in, decided, export, lines_of, unseen, without_stamps
from tests.labels.plugin_package import install_plugin
from trainer.cli import app

RECORDS = '{"text": "Oslo will send fuel.", "tags": ["aid"], "who": "ana"}\n{"text": "New."}\n'
FAULTY = """
from labels.exchange.formats import Format

class Faulty(Format):
    api = 1
    name = "faulty"
    endings = (".jsonl",)
    carries = "decisions"
    options = ("control",)

    def parse(self, records, reader):
        return [record["oops"] for _, record in records]

    def build(self, selection, ending):
        raise RuntimeError("out of ideas")

class Newer(Faulty):
    api = 2

class Nameless(Faulty):
    name = "other"

FAULTY, NEWER, NAMELESS, CSV = Faulty(), Newer(), Nameless(), Faulty()
"""
ENTRIES = {"faulty": "faulty:FAULTY", "newer": "faulty:NEWER", "nameless": "faulty:NAMELESS", "csv": "faulty:CSV"}
BROKEN = {"broken": "broken_format:FORMAT"}


def documented() -> str:
    """The plug-in that the documentation of `labels.exchange.formats` shows."""
    text = inspect.getdoc(formats) or ""
    start = text.index("# communique_brat.py")
    return textwrap.dedent("    " + text[start : text.index("`api` is the version")])


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The documented package, one whose formats do not work, and one that cannot be imported."""
    group = "communique.formats"
    first, second, third = (tmp_path_factory.mktemp("plugin") for _ in range(3))
    return [
        install_plugin(
            first, "communique-brat", group, {"brat": "communique_brat:FORMAT"}, {"communique_brat": documented()}
        ),
        install_plugin(second, "faulty-formats", group, ENTRIES, {"faulty": FAULTY}),
        install_plugin(third, "broken-format", group, BROKEN, {"broken_format": "import not_installed"}),
    ]


@pytest.fixture(autouse=True)
def _on_the_path(installed: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in installed:
        monkeypatch.syspath_prepend(folder)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["annotations", *arguments])


def test_the_documented_plugin_reads_and_writes(store: Store, isolated: Path) -> None:
    (isolated / "in.jsonl").write_text(RECORDS, encoding="utf-8")

    assert bring_in(store, "brat", isolated / "in.jsonl") == (1, 0, {"records without tags": 1})
    assert bring_in(store, "brat", isolated / "in.jsonl") == (0, 1, {"records without tags": 1})
    assert decided(store) == [("Oslo will send fuel.", "ana", "reviewed", ("aid",))]
    assert unseen(store) == ["New."]
    assert export(store, "brat", isolated / "out.jsonl") == (1, {})
    assert without_stamps(lines_of(isolated / "out.jsonl")) == [json.loads(RECORDS.splitlines()[0])]
    assert bring_in(store, "brat", isolated / "out.jsonl") == (0, 1, {})


def test_a_plugin_cannot_replace_a_built_in_format() -> None:
    assert type(formats.find_format("csv")).__module__ == "labels.exchange.tabular"


def test_the_list_names_plugins_and_what_is_wrong_with_them() -> None:
    listed = run("formats")

    assert listed.exit_code == 0, listed.output
    lines = listed.stdout.splitlines()
    assert {("csv", "standing", "decisions", ".csv"), ("brat", "standing", "decisions", ".jsonl")} <= {
        tuple(line.split()) for line in lines
    }
    for package in (
        "format 'broken' of package broken-format 1.5 cannot be loaded (ModuleNotFoundError: ",
        "format 'newer' of package faulty-formats 1.5 needs version 2 of the plug-in interface",
        "format 'nameless' of package faulty-formats 1.5 has the attribute name = 'other'",
        "format 'csv' of package faulty-formats 1.5 is ignored: the name is built in",
    ):
        assert sum(line.startswith(package) for line in lines) == 1


@pytest.mark.parametrize("name", ["brat", "prodigy"])
def test_a_format_is_described(name: str) -> None:
    described = run("formats", name)

    assert described.stdout.startswith(
        f"{name}: standing decisions, in files with the extension .jsonl.\nNot exported:\n  - "
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "in.jsonl", "--format", "broken"], "package broken-format 1.5 cannot be loaded"),
        (["import", "in.jsonl", "--format", "faulty"], "package faulty-formats 1.5 failed (KeyError: 'oops')."),
        (["import", "in.jsonl", "--format", "brta"], "'brta' is not known (did you mean 'brat'?); use jsonl, csv,"),
        (["import", "in.csv", "--format", "faulty"], "files in format faulty have the extension .jsonl, not '.csv'"),
    ],
)
def test_a_plugin_that_fails_is_one_line_with_its_package(isolated: Path, arguments: list[str], message: str) -> None:
    for name in ("in.jsonl", "in.csv"):
        (isolated / name).write_text(RECORDS, encoding="utf-8")

    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_export_that_fails_leaves_no_file(store: Store, isolated: Path) -> None:
    with pytest.raises(InputError, match=r"faulty-formats 1\.5 failed \(RuntimeError: out of ideas\)"):
        export(store, "faulty", isolated / "out.jsonl")
    assert list(isolated.iterdir()) == []


def test_options_that_a_format_does_not_have_are_refused(isolated: Path) -> None:
    with pytest.raises(InputError, match=r"format faulty has no option 'contrl' \(did you mean 'control'\?\)"):
        read_file(isolated / "in.jsonl", MULTI, "faulty", contrl="topic")
    with pytest.raises(
        InputError, match=r"format csv has no option 'control'\. Available options: text_column, label_column, blank"
    ):
        read_file(isolated / "in.csv", MULTI, "csv", control="topic")


def test_plugins_are_seen_by_the_command(installed: list[Path], isolated: Path) -> None:
    path = os.pathsep.join([*map(str, installed), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", "from trainer.cli import app; app()", "annotations", "formats", "brat"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=isolated, env=os.environ | {"PYTHONPATH": path}
    )

    assert done.stdout.startswith("brat: standing decisions")
