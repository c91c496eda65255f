"""`communique init`: write commented settings, and a commented codebook."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from labels.cli.terminal import console, print_next
from labels.environment.settings import SETTINGS_FILE, command
from labels.errors import InputError


def init_command(
    codebook: Annotated[
        Path | None, typer.Option("--codebook", help="Also write a commented codebook to this .toml file.")
    ] = None,
) -> None:
    """Write a commented communique.toml into the working folder, and a codebook; no existing file is replaced."""
    from labels.output.drafts import check_file, write_whole

    files = {Path(SETTINGS_FILE): _settings(codebook)}
    if codebook is not None:
        if codebook.suffix.lower() != ".toml" or codebook == Path(SETTINGS_FILE):
            raise InputError(f"{codebook}: a codebook is a .toml file of its own. Choose a name such as mine.toml.")
        files[codebook] = _codebook()
    kept = Path(SETTINGS_FILE).exists() and codebook is not None
    if kept:
        del files[Path(SETTINGS_FILE)]
    for path in files:
        if path.exists():
            raise InputError(f"{path}: this file exists and was not replaced. Move it, or work in another folder.")
        check_file(path)
    for path, text in files.items():
        write_whole(path, [text])
        console.print(f"Written: {path}")
    if kept:
        console.print(
            f'{SETTINGS_FILE} was not changed. To use the new codebook, set this key there: codebook = "{codebook}"'
        )
    check = () if codebook is None else (command("codebook", "check", codebook),)
    print_next(*check, "communique ingest PATH")


def _settings(codebook: Path | None) -> str:
    text = (resources.files("labels.environment") / "template.toml").read_text(encoding="utf-8")
    if codebook is None:
        return text
    from tomli_w import dumps

    return text.replace('# codebook = "diplomatic"\n', dumps({"codebook": str(codebook)}))


def _codebook() -> str:
    from labels.codebook.schema import RESERVED_KEYS

    text = (resources.files("labels.codebook") / "template.toml").read_text(encoding="utf-8")
    return text.replace("{reserved}", " ".join(sorted(RESERVED_KEYS)))
