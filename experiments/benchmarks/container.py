"""Check the steps of trainer/serving/Dockerfile without a container runtime.

    python experiments/benchmarks/container.py ARTEFACT [--venv VENV] [--torch-index URL] [--user 10001]

The Dockerfile is parsed, and its steps are carried out here: the pip commands in a new virtual environment, from a copy
of the files that .dockerignore lets through; then the ENTRYPOINT with its CMD, as an unprivileged user, with the
variables of ENV, an environment and a model that this user cannot write, and only a temporary folder to write to. Then
the HEALTHCHECK, a request without a key and one with a key are tried. Run this as root.

With --venv, the dependencies are taken from an existing environment, and only communique itself is installed. Python is
copied, as the image has its own: the user may not be able to read this one.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "trainer/serving/Dockerfile"
PORT = 8000
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, in order: name and arguments."""
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")))
    lines = [line.strip() for line in joined.splitlines() if line.strip()]
    return [(name.upper(), rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def last_stage(found: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The instructions after the last FROM."""
    start = max(number for number, (name, _) in enumerate(found) if name == "FROM")
    return list(found[start + 1 :])


def ignored(path: str, rules: Sequence[str]) -> bool:
    """Whether .dockerignore leaves a path out: the last rule that matches the path or a folder above it decides."""
    out = False
    for rule in rules:
        pattern = rule.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        anywhere = rule.startswith("**/")
        tails = ["/".join(parts[i : n + 1]) for n in range(len(parts)) for i in range(n + 1)] if anywhere else []
        if any(fnmatch.fnmatch(name, pattern) for name in [*heads, *tails]):
            out = not rule.startswith("!")
    return out


def copy_context(target: Path) -> int:
    """Copy the tracked files that .dockerignore lets through; returns their number."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    kept = [path for path in listed.splitlines() if not ignored(path, rules) and (ROOT / path).is_file()]
    for path in kept:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, target / path)
    return len(kept)


def install(
    found: Sequence[tuple[str, str]], context: Path, place: Path, reused: Path | None, torch_index: str
) -> None:
    """Carry out the RUN steps of the first stage, with their folders below `place`."""
    first = found[: max(number for number, (name, _) in enumerate(found) if name == "FROM")]
    variables = dict(pair.split("=", 1) for name, rest in first if name == "ENV" for pair in shlex.split(rest))
    python = place.parent / "python"
    shutil.copytree(sys.base_prefix, python, symlinks=True, ignore=shutil.ignore_patterns("test", "site-packages"))
    variables |= {"PATH": f"{python / 'bin'}:{os.environ['PATH']}", "LD_LIBRARY_PATH": str(python / "lib")}
    for name, rest in first:
        if name != "RUN":
            continue
        command = rest.replace("/opt/communique", str(place)).replace("/src", str(context))
        command = command.replace(TORCH_INDEX, torch_index)
        if reused and "pip install" in command:
            if "torch" in command:
                continue
            command = command.replace("pip install", "pip install --no-deps --no-build-isolation").replace("[onnx]", "")
        print(f"RUN {command}", flush=True)
        subprocess.run(command, shell=True, check=True, env=os.environ | variables)
        if reused and "-m venv" in command:
            packages = next((place / "lib").glob("python*")) / "site-packages"
            (packages / "reused.pth").write_text(f"{next((reused / 'lib').glob('python*')) / 'site-packages'}\n")


def serve(found: Sequence[tuple[str, str]], place: Path, model: Path, keys: Path, work: Path, user: int) -> None:
    """Start the entry point as the user, then try the health check and requests."""
    stage = last_stage(found)
    only = {name: rest for name, rest in stage if name in ("ENTRYPOINT", "CMD", "HEALTHCHECK", "USER")}
    assert only["USER"].split(":")[0] == str(user), only["USER"]
    command = [*json.loads(only["ENTRYPOINT"]), *json.loads(only["CMD"])]
    command = [str(model) if part == "/model" else part for part in command]
    command = [str(keys) if part.startswith("/run/secrets/") else part for part in command]
    command[0] = str(place / "bin" / command[0])
    variables = dict(pair.split("=", 1) for name, rest in stage if name == "ENV" for pair in shlex.split(rest))
    temporary = work / "tmp"
    temporary.mkdir()
    os.chown(temporary, user, user)
    variables = {name: value.replace("/tmp", str(temporary)) for name, value in variables.items() if name != "PATH"}
    variables |= {"PATH": f"{place / 'bin'}:/usr/bin:/bin", "TMPDIR": str(temporary)}
    variables["LD_LIBRARY_PATH"] = str(place.parent / "python" / "lib")
    read_only = work / "srv"
    read_only.mkdir()
    options: dict[str, Any] = {"cwd": read_only, "env": variables, "user": user, "group": user, "extra_groups": []}
    for written in (place / "x", read_only / "x", model / "x"):
        denied = subprocess.run(["touch", str(written)], stderr=subprocess.DEVNULL, check=False, **options)
        assert denied.returncode, f"the user can write {written}"
    print("as user", user, *command, flush=True)
    server = subprocess.Popen(command, **options)
    try:
        health = json.loads(only["HEALTHCHECK"].partition("CMD ")[2])
        health[0] = str(place / "bin" / health[0])
        for _ in range(120):
            if not subprocess.run(health, stderr=subprocess.DEVNULL, check=False, **options).returncode:
                break
            assert server.poll() is None, "the server has ended"
            time.sleep(2)
        else:
            sys.exit("HEALTHCHECK: never healthy")
        print("HEALTHCHECK: healthy")
        token = (work / "token").read_text()
        print("without a key:", ask(None), " with a key:", ask(token))
    finally:
        server.send_signal(signal.SIGTERM)
        print("after SIGTERM: exit status", server.wait(60))
    print("files left in the temporary folder:", sum(path.is_file() for path in temporary.rglob("*")))


def ask(token: str | None) -> int:
    """The status of a prediction."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    body = b'{"texts": ["Norway pledged aid."]}'
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/predict", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def main() -> None:
    """Install, start, ask."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("artefact", type=Path)
    parser.add_argument("--venv", type=Path, help="environment with the dependencies, instead of downloads")
    parser.add_argument("--torch-index", default=TORCH_INDEX, help="mirror of PyTorch's index of CPU builds")
    parser.add_argument("--user", type=int, default=10001)
    given = parser.parse_args()
    found = instructions(DOCKERFILE.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        work.chmod(0o755)
        context, place, model = work / "src", work / "opt", work / "model"
        print("files in the build context:", copy_context(context))
        install(found, context, place, given.venv, given.torch_index)
        shutil.copytree(given.artefact, model)
        from labels.environment.keys import KeyFile

        keys = work / "secrets" / "communique-keys.json"
        keys.parent.mkdir()
        (work / "token").write_text(KeyFile(keys).add("probe", ["predict"]))
        os.chown(keys, given.user, given.user)
        serve(found, place, model, keys, work, given.user)


if __name__ == "__main__":
    main()
