"""What the code as a whole promises: directions of imports, types, style, sizes, names, no pickles, cheap imports."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import LOADED, untraced

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(path for package in ("labels", "trainer") for path in (ROOT / package).rglob("*.py"))
SCRIPTS = sorted(path for folder in (".github", "seeds", "experiments") for path in (ROOT / folder).rglob("*.py"))
ROOMS = sorted({path.parent for path in MODULES if path.parent.name != "communique"})
TOOLS = Path(sys.executable).parent
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
TORCH_PICKLES = {"torch.load", "torch.save", "torch.jit.load", "torch.hub.load"}
HEAVY = {"torch", "transformers", "mlflow", "sklearn", "datasets", "matplotlib", "huggingface_hub"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of everything a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def run_tool(*command: str) -> None:
    # Where `labels`, `trainer` and `communique` lie in a checkout.
    environment = untraced() | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "trainer/_door")])}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


# -- the tools' verdicts


def test_data_flow_one_way_by_the_contracts_of_import_linter() -> None:
    run_tool(str(TOOLS / "lint-imports"), "--no-cache")


@pytest.mark.slow
def test_types_hold_in_strict_mypy() -> None:
    run_tool(sys.executable, "-m", "mypy")


@pytest.mark.parametrize("command", ["check", "format --check"])
def test_the_style_is_ruffs(command: str) -> None:
    run_tool(str(TOOLS / "ruff"), *command.split())


# -- directions


def test_only_runs_and_what_mlflow_itself_runs_import_mlflow() -> None:
    users = {
        name_of(path) for path in MODULES if any(name.split(".")[0] == "mlflow" for name in imported(parsed(path)))
    }
    rooms = ("champions", "connection", "locations", "outputs", "registry", "tracker")
    allowed = {f"trainer.runs.tracking.{name}" for name in rooms} | {"trainer.model.pyfunc"}
    assert users == allowed


def test_importing_the_packages_loads_no_heavy_library() -> None:
    skipped = ("trainer.model.pyfunc",)
    lazy = (
        "trainer.classifiers.network",
        "trainer.classifiers.students.distillation",
        "trainer.classifiers.training",
        "trainer.runs.estimator",
        "trainer.runs.kinds",
    )
    names = [name for name in map(name_of, MODULES) if not name.startswith((*skipped, *lazy))]
    code = f"import sys; [__import__(name) for name in {names!r}]; print(*sorted({HEAVY!r} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=untraced(), stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == ""


def test_collecting_the_tests_loads_no_heavy_library(pytestconfig: pytest.Config) -> None:
    """`tests.lazy` shows how a test module names one without importing it."""
    heavy = HEAVY | {"onnxruntime", "optuna", "peft", "scipy.stats", "skops"}
    assert heavy & pytestconfig.stash[LOADED] == set()


# -- sizes and names

SAME_NAME = {
    "environment": "what surrounds a package: its settings, or the libraries and files that it uses",
    "cli": "each package has its own commands",
    "report": "how a report is made: of agreement, or of a model",
    "calibration": "the main module of its room",
    "model": "the main module of its room",
    "documents": "articles as they are read, and as they are stored",
}
"""Names that several modules or rooms have, and what they have in common. A command's module may have the name of the
module that it calls.
"""


def test_no_module_has_more_than_350_lines() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > 350} == {}


def test_no_room_has_more_than_14_entries() -> None:
    entries: Counter[str] = Counter(
        str(path.parent.relative_to(ROOT))
        for path in {*MODULES, *ROOMS}
        if path.name not in ("__init__.py", "_door") and path.parent != ROOT
    )
    assert {room: count for room, count in entries.items() if count > 14} == {}


def test_modules_of_one_name_are_about_one_thing() -> None:
    commands = {ROOT / "labels/cli", ROOT / "trainer/cli", ROOT / "trainer/cli/choice", ROOT / "trainer/cli/counting"}
    named = [path for path in {*MODULES, *ROOMS} if path.stem != "__init__" and path.parent not in commands]
    names = Counter(path.stem for path in named)
    assert {name for name, count in names.items() if count > 1} == set(SAME_NAME)


# -- never a pickle, never an exit


def pickling(tree: ast.AST) -> set[str]:
    """What in a module reads or writes pickles."""
    names = set(imported(tree))
    called = {ast.unparse(call.func) for call in calls(tree)}
    keywords = {keyword.arg for call in calls(tree) for keyword in call.keywords}
    unpicklers = {name for name in names if name.split(".")[0] in UNPICKLERS}
    return unpicklers | (TORCH_PICKLES & (called | names)) | ({"allow_pickle"} & keywords)


def test_no_module_reads_or_writes_pickles() -> None:
    assert {name_of(path): found for path in MODULES + SCRIPTS if (found := pickling(parsed(path)))} == {}


COPIED = {"trainer.estimate.published.recompute", "trainer.runs.publication.reproduce"}
"""Scripts that are copied into replication packages and run there by themselves."""


def test_only_the_terminal_module_prints() -> None:
    """Everything else prints through it, so that control characters in texts are visible."""
    prints = {"print", "typer.echo", "typer.secho", "click.echo", "sys.stdout.write", "sys.stderr.write", "Console"}
    called = {name_of(path): {ast.unparse(call.func) for call in calls(parsed(path))} for path in MODULES}
    assert {name for name, names in called.items() if names & prints} == {"labels.cli.terminal", *COPIED}


def test_only_the_command_line_ends_the_process() -> None:
    ends = {"exit", "quit", "sys.exit", "os._exit", "SystemExit", "typer.Exit"}
    called = {name_of(path): {ast.unparse(call.func) for call in calls(parsed(path))} for path in MODULES}
    ending = {name for name, names in called.items() if names & ends}
    assert {name for name in ending if not name.startswith(("labels.cli", "trainer.cli"))} == COPIED
