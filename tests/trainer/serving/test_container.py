"""The server's Dockerfile and what it copies. `experiments/benchmarks/container.py` carries out its steps."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest
from typer.main import get_command

from experiments.benchmarks.container import DOCKERFILE, ROOT, ignored, instructions, last_stage
from trainer.cli import app
from trainer.serving.gate import OPEN_ROUTES

STEPS = instructions(DOCKERFILE.read_text(encoding="utf-8"))
LAST = dict(last_stage(STEPS))
RULES = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]


def test_container_runs_as_an_unprivileged_user_of_a_pinned_image() -> None:
    (base,) = {rest for name, rest in STEPS if name == "ARG"}
    assert re.fullmatch(r"PYTHON=3\.11\.\d+-slim-\w+", base)
    assert {rest.split()[0] for name, rest in STEPS if name == "FROM"} == {"python:${PYTHON}"}
    assert LAST["USER"] == "10001:10001"
    assert not any(name == "ADD" for name, _ in STEPS)


def test_command_of_the_container_is_one_of_the_command_line() -> None:
    program, name, *options = [*json.loads(LAST["ENTRYPOINT"]), *json.loads(LAST["CMD"])]
    assert (program, name) == ("communique", "serve")
    group: Any = get_command(app)
    serve = group.get_command(group.make_context("communique", ["serve"]), "serve")
    given = serve.make_context("serve", options).params
    assert (given["host"], given["port"]) == ("0.0.0.0", 8000)
    assert given["keys"].is_absolute()


def test_health_check_asks_a_route_that_needs_no_key() -> None:
    command = json.loads(LAST["HEALTHCHECK"].partition("CMD ")[2])
    route = re.search(r"127\.0\.0\.1:8000(/[\w/]+)", command[-1])
    assert route
    assert route[1] in OPEN_ROUTES


def test_pytorch_is_the_build_for_the_cpu_in_the_range_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (torch,) = [needed for needed in project["dependencies"] if needed.startswith("torch")]
    (command,) = [rest for name, rest in STEPS if name == "RUN" and "torch" in rest]
    assert f'--index-url https://download.pytorch.org/whl/cpu "{torch}"' in command
    assert [rest for name, rest in STEPS if name == "RUN"].index(command) == 1  # before communique asks for it


def test_whatever_is_copied_reaches_the_build() -> None:
    sources = [
        source for name, rest in STEPS if name == "COPY" and "--from" not in rest for source in rest.split()[:-1]
    ]
    assert {"pyproject.toml", "labels", "trainer"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists()
        assert not ignored(source, RULES)


@pytest.mark.parametrize(
    ("path", "left_out"),
    [
        ("trainer/serving/app.py", False),
        ("labels/codebook/__init__.py", False),
        ("communique-keys.json", True),
        ("trainer/communique-keys.json", True),
        ("experiments/.communique-keys.json.lock", True),
        ("communique.db", True),
        ("seeds/mlflow.db-wal", True),
        ("runs/mine/artefact/manifest.json", True),
        (".git/config", True),
        ("tests/conftest.py", True),
        ("trainer/__pycache__/x.pyc", True),
    ],
)
def test_build_gets_the_packages_but_no_keys_stores_or_runs(path: str, left_out: bool) -> None:
    assert ignored(path, RULES) is left_out
