"""The replication package of an estimate: its tables, its sample, and a script that recomputes the shares."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from labels.errors import DataError
from labels.output.drafts import check_file, whole_file
from labels.output.folders import output_folder, refuse_occupied
from trainer.estimate.published import recompute
from trainer.estimate.published.saving import ESTIMATE, FILES, load_estimate
from trainer.estimate.results import Estimate


def is_estimate(folder: Path) -> bool:
    """Return whether a folder has an estimate."""
    return (folder / ESTIMATE).is_file()


def archive_estimate(folder: Path, out: Path, *, overwrite: bool = False) -> Path:
    """Write the replication package of an estimate to a folder, or to a file that ends with `.zip`. It has no texts.

    Raises:
        DataError: a file of the estimate is missing or damaged, or `out` is occupied.
    """
    zipped = out.suffix == ".zip"
    if not zipped:
        refuse_occupied(out, overwrite=overwrite, reads=[folder / ESTIMATE])
    elif out.exists() and not overwrite:
        raise DataError(f"{out}: this file exists. Choose another file with --out, or add --overwrite.")
    else:
        check_file(out)
    found = load_estimate(folder)
    for name in FILES:
        if not (folder / name).is_file():
            raise DataError(f"{folder / name}: this file is missing. Run `communique estimate --out` again.")
    if zipped:
        with TemporaryDirectory() as scratch:
            _write(found, folder, Path(scratch))
            with whole_file(out) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
                for path in sorted(Path(scratch).iterdir()):
                    archive.write(path, f"{out.stem}/{path.name}")
    else:
        with output_folder(out, overwrite=overwrite) as draft:
            _write(found, folder, draft)
    return out


def _write(found: Estimate, folder: Path, out: Path) -> None:
    for name in (*FILES, *(["differences.csv"] if found.changes else [])):
        shutil.copyfile(folder / name, out / name)
    shutil.copyfile(recompute.__file__, out / "recompute.py")
    (out / "requirements.txt").write_text(f"numpy>={version('numpy')}\n", encoding="utf-8")
    (out / "README.md").write_text(_readme(found), encoding="utf-8")
    paths = sorted(out.iterdir())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
    (out / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def _readme(found: Estimate) -> str:
    return f"""# Replication package of an estimate

Made by communique {version("communique")}. `python recompute.py` recomputes the shares from the sample.

| file | what |
| --- | --- |
| `estimates.csv` | the share and count of each label, by group and method, with {found.confidence:.0%} intervals |
| `differences.csv` | differences between groups, if there are groups |
| `estimate.json` | all figures with their provenance |
| `methods.md` | what was done, in words, with references |
| `estimate.png` | the plot |
| `sample.csv` | the labelled sentences: ids, group, stratum, unit, weight, gold and predictions |
| `corpus.csv` | for each group: units, sums of probabilities, and units to which the model assigns each label |
| `SHA256SUMS` | digests of all files |

There are no texts in this package. The ids of sentences are those of communique: hashes of the document and the span.
"""
