"""Builds a package with plug-ins and installs it into a folder, as a user would have it in their environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import untraced


def install_plugin(folder: Path, name: str, group: str, entries: Mapping[str, str], modules: Mapping[str, str]) -> Path:
    """Build and install a package; put the folder that is returned on sys.path (or PYTHONPATH) to see its plug-ins.

    Args:
        folder: where the source is written and the package installed.
        name: the package's name, such as `communique-brat`; its version is 1.5.
        group: the entry-point group.
        entries: name of a plug-in -> the object, such as `brat_format:FORMAT`.
        modules: name of a module -> its source.
    """
    source, target = folder / name, folder / "installed"
    source.mkdir(parents=True)
    for module, content in modules.items():
        (source / f"{module}.py").write_text(content, encoding="utf-8")
    points = "\n".join(f'{key} = "{value}"' for key, value in entries.items())
    files = ", ".join(f'"{module}.py"' for module in modules)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n'
        f'[project]\nname = "{name}"\nversion = "1.5"\n\n[project.entry-points."{group}"]\n{points}\n\n'
        f"[tool.hatch.build.targets.wheel]\nonly-include = [{files}]\n",
        encoding="utf-8",
    )
    options = [
        "--quiet",
        "--no-compile",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "--disable-pip-version-check",
    ]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)]
    done = subprocess.run(command, env=untraced(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target
