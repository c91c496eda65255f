"""The starter model: a small file that ships with the package, unpacked into an artefact on first use.

`starter.zip` holds the files of an artefact whose encoder was fine-tuned from the bundled one. Instead of the weights,
it stores their differences from the bundled weights, as 8-bit integers with one scale for each tensor. `pack` replaces
the trained weights by the sum of the two, so `unpack` makes the same bytes on every machine, and the manifest's digests
hold.
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labels.errors import ArtefactError
from labels.output.drafts import whole_file
from trainer.classifiers.onnx import ENCODER
from trainer.encoders.encoder import bundled_encoder
from trainer.environment import shipped
from trainer.model.model import CLASSIFIER, MANIFEST, Model, read_manifest

STARTER = "starter"
"""The reference of the starter model, in place of an artefact's folder."""
FILE = "starter.zip"
STARTER_NOTE = (
    "Note: the starter model was trained only on invented articles. If 5% of the sentences of a corpus have a label, "
    "expect a precision of about 60% and a recall of about 50% (measured on real speeches and news). To measure them "
    "on your own articles, run `communique audit plan`."
)
"""Precision and recall from `experiments/results/news_audit.md`, converted to a share of 5%."""
LARGEST = 25_000_000
"""Largest size of the packed file in bytes."""

WEIGHTS = f"{CLASSIFIER}/{ENCODER}/model.safetensors"
_DIFFERENCES = "differences.safetensors"
_SCALE = ".scale"

Tensors = Mapping[str, NDArray[np.float32]]


def is_starter(reference: str | Path) -> bool:
    """Return whether a reference means the starter model: `starter`, if the current folder has nothing of that name."""
    return str(reference) == STARTER and not Path(STARTER).exists()


def starter_artefact() -> Path:
    """Return the artefact folder of the starter model, unpacked into the user's cache on first use.

    If the cache cannot be written, the artefact is unpacked into a temporary folder that lasts as long as the process.

    Raises:
        ArtefactError: the installation lacks the starter model, or its file was altered.
        EncoderError: the bundled encoder is missing or was altered.
    """
    packed = shipped("seeds") / FILE
    if not packed.is_file():
        raise ArtefactError(f"{packed}: the starter model is missing. Reinstall communique.")
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    folder = _cache() / f"{STARTER}-{digest[:16]}"
    if (folder / MANIFEST).is_file():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return _unpack_beside(packed, folder)
    except OSError:
        temporary = Path(tempfile.mkdtemp(prefix="communique-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        return _unpack_beside(packed, temporary / folder.name)


def shown_place(artefact: Path) -> str:
    """Return how messages name an artefact: its folder, or `starter` for the starter model in the cache."""
    unpacked = artefact.parent == _cache() and artefact.name.startswith(f"{STARTER}-")
    return STARTER if unpacked else str(artefact)


def _cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("communique", appauthor=False)


def _unpack_beside(packed: Path, folder: Path) -> Path:
    """Unpack into a temporary folder and rename it, so that an interrupted unpacking leaves no artefact."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        unpack(packed, Path(temporary) / "artefact")
        try:
            (Path(temporary) / "artefact").rename(folder)
        except OSError:
            if not (folder / MANIFEST).is_file():  # else another process was faster
                raise
    return folder


def unpack(packed: Path, folder: Path) -> None:
    """Write the artefact that a packed file describes; `Model.load` checks its digests.

    Raises:
        ArtefactError: the file is not a packed model.
        EncoderError: the bundled encoder is missing or was altered.
    """
    from safetensors.numpy import load, load_file, save

    try:
        with zipfile.ZipFile(packed) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        differences = load(content.pop(_DIFFERENCES))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ArtefactError(f"{packed}: the starter model has been altered ({error}). Reinstall communique.") from error
    weights = _add(load_file(bundled_encoder() / "model.safetensors"), differences)
    for name, data in {**content, WEIGHTS: save(weights, metadata={"format": "pt"})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def pack(artefact: Path, packed: Path) -> None:
    """Write the packed form of a fine-tuned artefact whose encoder was the bundled one.

    Raises:
        ArtefactError: the artefact is not valid, has another encoder, or its packed form is larger than `LARGEST`.
    """
    from safetensors.numpy import load_file, save

    Model.load(artefact)
    base, tuned = load_file(bundled_encoder() / "model.safetensors"), load_file(artefact / WEIGHTS)
    if any(name not in base or base[name].shape != tensor.shape for name, tensor in tuned.items()):
        raise ArtefactError(f"{artefact}: this model's encoder was not the bundled one. Train with encoder = 'minilm'.")
    differences: dict[str, NDArray[np.generic]] = {}
    for name, tensor in tuned.items():
        differences |= _quantise(name, tensor - base[name])
    weights = save(_add(base, differences), metadata={"format": "pt"})
    manifest = read_manifest(artefact)
    files = manifest.files | {WEIGHTS: hashlib.sha256(weights).hexdigest()}
    with whole_file(packed) as draft:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(set(files) - {WEIGHTS}):
                _write(archive, name, (artefact / name).read_bytes())
            _write(archive, MANIFEST, manifest.model_copy(update={"files": files}).to_json().encode())
            _write(archive, _DIFFERENCES, save(differences))
        if (size := draft.stat().st_size) > LARGEST:
            raise ArtefactError(f"{packed}: the packed model has {size:,} bytes, more than {LARGEST:,}.")


def _write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    # A fixed date makes the file depend on its content alone.
    archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED, 9)


def _quantise(name: str, difference: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
    """Return 8-bit integers and their scale; words that did not occur in training get zeros, which need no space."""
    scale = np.abs(difference).max(initial=0) / np.float32(127)
    whole = np.rint(difference / (scale or np.float32(1))).astype(np.int8)
    return {name: whole, name + _SCALE: np.array([scale], dtype=np.float32)}


def _add(base: Tensors, differences: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.float32]]:
    """Return the bundled weights plus the stored differences, in float32."""
    return {
        name: base[name] + whole.astype(np.float32) * differences[name + _SCALE].astype(np.float32)
        for name, whole in differences.items()
        if not name.endswith(_SCALE)
    }
