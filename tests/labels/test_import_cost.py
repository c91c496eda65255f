"""Importing what every command needs brings in no heavy library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "transformers",
    "mlflow",
    "sklearn",
    "datasets",
    "pandas",
    "numpy",
    "sqlalchemy",
    "pydantic",
    "rich",
    "matplotlib",
    "fastapi",
)


def run(code: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["labels.environment.settings", "labels.cli", "trainer.cli"])
def test_importing_brings_in_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}} & {set(HEAVY)!r}))"
    assert run(code) == ""


def test_naming_a_store_by_its_path_needs_no_sqlalchemy() -> None:
    code = "from labels.environment.settings import command; print(command('status', store='x.db'))"
    assert run(f"import sys; {code}; print('sqlalchemy' in sys.modules)").splitlines() == [
        "communique status --store x.db",
        "False",
    ]
