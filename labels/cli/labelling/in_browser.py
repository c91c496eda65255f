"""`communique label --web`: who may label, and the command of each window."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labels.cli.terminal import checked_annotator, console, opened_store
from labels.environment.addresses import bind, is_loopback, url_of
from labels.environment.settings import command
from labels.errors import InputError

if TYPE_CHECKING:
    from labels.annotate.browser.visitors import Visitors

_OWN = ("annotator", "web", "host", "port", "keys")
"""Options that a window does not get, or gets with other values."""
_ALONE = {"plain": "--plain", "release": "--release", "release_from": "--release-from"}
"""Options that need no screen."""


@dataclass(frozen=True)
class WebOptions:
    """The options of the server.

    - `host`, `port`: the address to listen on; port 0 chooses a free port
    - `keys`: the file of keys
    """

    host: str
    port: int
    keys: Path


def label_in_browser(context: Any, options: WebOptions) -> None:
    """Serve the labelling screen of this command until interrupted.

    Raises:
        InputError: the extra is missing, other options are not for the screen, the address is in use, or other machines
            could reach the server without a key.
    """
    if find_spec("textual_serve") is None:
        raise InputError('--web needs textual-serve. Install it: pip install "communique[web]".')
    given = context.params
    for name, option in _ALONE.items():
        if given[name]:
            raise InputError(f"{option} needs no screen and cannot be combined with --web. Remove one of them.")
    with opened_store(given["store"], given["codebook"]):
        pass  # errors are reported now, not in each window
    visitors = _visitors(options, given["annotator"])
    passed_on = [sys.executable, "-P", "-m", "labels.cli.labelling.browser_window", *_passed_on(context)]

    from labels.annotate.browser.web_server import Labelling, run_browser_server

    listener = bind(options.host, options.port)
    port = listener.getsockname()[1]
    _announce(options, port, visitors)
    run_browser_server(Labelling(visitors, partial(_window, passed_on), port), listener)


def _visitors(options: WebOptions, annotator: str) -> Visitors:
    """Who may label: the annotators of the keys with the scope `label` or, if there is no such key, one annotator."""
    from labels.annotate.browser.visitors import SCOPE, Visitors
    from labels.environment.keys import KeyFile

    keys = KeyFile(options.keys)
    if any(SCOPE in key.scopes for key in keys.all()):
        return Visitors(keys)
    if not is_loopback(options.host):
        add = command("keys", "add", "NAME", "--annotator", "NAME", "--scope", SCOPE, "--keys", options.keys)
        raise InputError(
            f"{options.keys}: there are no keys for labelling. Other machines can reach {options.host}, so every "
            f"annotator needs a key: run `{add}` for each of them, or use --host 127.0.0.1."
        )
    return Visitors(None, checked_annotator(annotator))


def _passed_on(context: Any) -> list[str]:
    """The options of the command line that windows get too."""
    words = []
    for option in context.command.params:
        value = context.params.get(option.name)
        if option.name in _OWN or context.get_parameter_source(option.name).name != "COMMANDLINE":
            continue
        if option.param_type_name == "argument":
            words.append(str(value))
            continue
        words += [option.opts[0]] * bool(value) if option.is_flag else [f"{option.opts[0]}={value}"]
    return words


def _window(words: Sequence[str], annotator: str) -> list[str]:
    return [*words, f"--annotator={annotator}"]


def _announce(options: WebOptions, port: int, visitors: Visitors) -> None:
    url = url_of(options.host, port)
    who = "each annotator enters a key" if visitors.need_keys else f"annotator: {visitors.annotator}"
    console.print(f"Labelling on {url}  ({who}). Ctrl-C stops.", soft_wrap=True)
    if not is_loopback(options.host):
        console.print(
            "Keys and texts cross the network unencrypted. Outside a trusted network, put a proxy with HTTPS in front, "
            "or use an SSH tunnel.",
            soft_wrap=True,
        )
