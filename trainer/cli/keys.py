"""`communique keys`: API keys for `communique serve` and `communique label --web`."""

from __future__ import annotations

from typing import Annotated

import typer

from labels.cli.terminal import console, table
from trainer.cli.serve import KEYS_FILE, KeysOption

app = typer.Typer(
    no_args_is_help=True, help="Create, list and revoke API keys for `communique serve` and `communique label --web`."
)
NameArgument = Annotated[str, typer.Argument(help="Name of the key, e.g. of the person or program that uses it.")]


@app.command()
def add(
    name: NameArgument,
    scope: Annotated[
        str,
        typer.Option(
            "--scope",
            help="Scopes of the key, separated by commas: predict, correct, admin (read metrics), label (label in the "
            "browser).",
        ),
    ] = "predict",
    annotator: Annotated[
        str, typer.Option("--annotator", help="Annotator under whose name decisions with this key are recorded.")
    ] = "",
    keys: KeysOption = KEYS_FILE,
) -> None:
    """Create a key and print it once. Only its SHA-256 digest is stored, so the key cannot be shown again."""
    from labels.environment.keys import KeyFile

    scopes = [part.strip() for part in scope.split(",") if part.strip()]
    token = KeyFile(keys).add(name, scopes, annotator)
    console.print(f"Key '{name}' ({', '.join(scopes)}), stored in {keys}. Copy the key now: it cannot be shown again.")
    console.print(token, soft_wrap=True)
    if scopes != ["label"]:
        console.print(
            "Send the key in the header `Authorization: Bearer KEY`, or enter it as the password in a browser."
        )
    if "label" in scopes:
        console.print(f"{annotator} must enter the key on the page of `communique label --web`.")


@app.command("list")
def list_keys(keys: KeysOption = KEYS_FILE) -> None:
    """List the keys: name, scopes, annotator and date, but never the keys themselves."""
    from labels.environment.keys import KeyFile

    found = KeyFile(keys).all()
    if not found:
        console.print(f"{keys}: there are no keys. Create one with `communique keys add NAME`.")
        return
    rows = [(key.name, ", ".join(key.scopes), key.annotator, key.created_at[:10]) for key in found]
    console.print(table(["name", "scopes", "annotator", "created"], rows, align="llll"))


@app.command()
def revoke(name: NameArgument, keys: KeysOption = KEYS_FILE) -> None:
    """Delete a key. Running servers refuse it from the next request on."""
    from labels.environment.keys import KeyFile

    KeyFile(keys).revoke(name)
    console.print(f"Revoked '{name}'. Running servers refuse it from now on.")
