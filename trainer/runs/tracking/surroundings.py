"""Where and with what a run was made: the commit of its code, package versions and the machine, as MLflow tags."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from trainer.model.model import package_versions

_GPUS = Path("/proc/driver/nvidia/gpus")
_SECONDS = 5


def describe_surroundings() -> dict[str, str]:
    """Return the tags `git.commit` (of the working folder, if it belongs to a repository), `package.NAME` and
    `machine.*`."""
    import psutil

    tags = {f"package.{name}": found for name, found in package_versions().items()}
    tags |= {
        "machine.system": platform.platform(),
        "machine.python": platform.python_version(),
        "machine.processors": str(os.cpu_count() or ""),
        "machine.memory_gb": f"{psutil.virtual_memory().total / 1e9:.0f}",
        "machine.gpu": ", ".join(_gpus()),
        "git.commit": _commit(),
    }
    return {name: value for name, value in tags.items() if value}


def _gpus() -> list[str]:
    """The names of the GPUs, from the driver: importing torch would take seconds."""
    found = []
    for path in sorted(_GPUS.glob("*/information")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        found += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return found


def _commit() -> str:
    """The commit of the working folder, marked if files were changed since; empty outside a repository."""
    commit = _git("rev-parse", "HEAD")
    changed = commit and _git("status", "--porcelain", "--untracked-files=no")
    return f"{commit} (with changes)" if changed else commit


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607  # as the user's shell would find it
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
