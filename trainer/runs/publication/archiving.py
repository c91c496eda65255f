"""The replication package of a run: all that others need to check its figures, with or without the texts."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from labels.codebook.schema import dump_codebook
from labels.errors import CommuniqueError, DataError
from labels.output.drafts import check_file, whole_file
from labels.output.folders import output_folder, refuse_occupied
from labels.output.table_files import write_csv_table
from labels.records import Example
from trainer.config.experiment import parse_experiment
from trainer.data.dataset import Dataset, load_dataset
from trainer.data.predicted import Predicted
from trainer.data.splits import group_examples
from trainer.model.model import package_versions
from trainer.runs.choice.sides import folder_of, read_side
from trainer.runs.publication import facts, reproduce
from trainer.runs.publication.escapes import markdown
from trainer.runs.publication.material import Contents, read_contents
from trainer.runs.publication.rendering import render
from trainer.runs.tracking.outputs import fetch_outputs, names_logged
from trainer.runs.tracking.record import RECORD, read_record

_JOINED = "|"
_SPLIT, _EXPERIMENT = "split.json", "experiment.json"


@dataclass(frozen=True)
class _Package:
    """What a package is made from. `split` and `experiment` are None if they are not known."""

    contents: Contents
    parts: Mapping[str, Predicted]
    split: bytes | None
    experiment: Mapping[str, Any] | None


def archive_run(reference: str, out: Path, *, texts: bool = True, overwrite: bool = False) -> Path:
    """Write the replication package of a run to a folder, or to a file that ends with `.zip`.

    Args:
        reference: the folder of a run or evaluation, the id of an MLflow run, or an MLflow URI.
        texts: include the sentences. Without them, the notes of the report are left out, too: they quote sentences.

    Raises:
        InputError: a file of the run is missing or damaged, or `out` is occupied.
        TrackingError: MLflow cannot be reached.
    """
    zipped = out.suffix == ".zip"
    if not zipped:
        refuse_occupied(out, overwrite=overwrite)
    elif out.exists() and not overwrite:
        raise DataError(f"{out}: this file exists. Choose another file with --out, or add --overwrite.")
    else:
        check_file(out)
    package = _collect(reference)
    if zipped:
        with TemporaryDirectory() as scratch:
            _write(package, Path(scratch), texts=texts)
            _zip(Path(scratch), out)
    else:
        with output_folder(out, overwrite=overwrite) as draft:
            _write(package, draft, texts=texts)
    return out


def _zip(folder: Path, out: Path) -> None:
    """Write the files of a folder to a ZIP file, below a folder of the file's name."""
    with whole_file(out) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"{out.stem}/{path.name}")


# -- collecting


def _collect(reference: str) -> _Package:
    contents, parts = read_contents(reference), read_side(reference).parts
    with _outputs(reference) as folder:
        split = (folder / _SPLIT).read_bytes() if (folder / _SPLIT).is_file() else None
        return _Package(contents, parts, split, _experiment(folder))


@contextmanager
def _outputs(reference: str) -> Iterator[Path]:
    """Yield a folder with the split and the experiment of a run, as far as it has them."""
    if not names_logged(reference) or Path(reference).exists():
        yield folder_of(Path(reference))
        return
    with TemporaryDirectory() as scratch:
        for name in (_SPLIT, _EXPERIMENT):
            with suppress(CommuniqueError), fetch_outputs(reference, (name,)) as fetched:
                shutil.copy(fetched / name, scratch)
        yield Path(scratch)


def _experiment(folder: Path) -> Mapping[str, Any] | None:
    """The settings of the run; None for an evaluation or a run of an older version."""
    if (folder / _EXPERIMENT).is_file():
        content: Mapping[str, Any] = json.loads((folder / _EXPERIMENT).read_text(encoding="utf-8"))
        return content
    if not (folder / RECORD).is_file():
        return None
    record = read_record(folder)
    return record.params if record.command == "train" else None


def _training_data(package: _Package) -> Dataset | str:
    """The data of the experiment as they are read now, or the reason for which they are not those of the run."""
    if package.experiment is None or package.contents.manifest is None:
        return "the run does not say where they come from."
    try:
        experiment = parse_experiment(dict(package.experiment), "the experiment")
        dataset = load_dataset(experiment, folds=bool(package.contents.report.folds))
    except CommuniqueError as error:
        return str(error)
    if dataset.training_hash != package.contents.manifest.training_hash:
        return f"the data in {dataset.source} have changed since the run."
    return dataset


# -- writing


def _write(package: _Package, folder: Path, *, texts: bool) -> None:
    contents, training = package.contents, _training_data(package)
    if contents.codebook:
        (folder / "codebook.toml").write_text(dump_codebook(contents.codebook), encoding="utf-8")
    if package.split is not None:
        (folder / _SPLIT).write_bytes(package.split)
    if package.experiment is not None:
        _write_json(folder / _EXPERIMENT, package.experiment)
    report = contents.report.to_dict() | ({} if texts else {"notes": [], "label_values": []})
    _write_json(folder / "report.json", report)
    if contents.manifest:
        left_out = {"profile", "training_ids", "files"}
        content = contents.manifest.model_dump(mode="json", exclude=left_out)
        _write_json(folder / "model.json", {"id": contents.manifest.digest, **content})
    parts = {name: part.examples for name, part in package.parts.items()}
    if isinstance(training, Dataset):
        parts = _with_train(training.parts["train"], parts)
    write_csv_table(folder / "decisions.csv", list(_decisions(parts, contents.report.labels, texts=texts)))
    write_csv_table(folder / "predictions.csv", list(_predictions(package)))
    shutil.copyfile(reproduce.__file__, folder / "reproduce.py")
    (folder / "requirements.txt").write_text(f"numpy>={version('numpy')}\nscipy>={version('scipy')}\n", "utf-8")
    complete = sum(map(len, parts.values())) == contents.report.n_train and bool(contents.report.folds)
    why = training if isinstance(training, str) and not complete else ""
    (folder / "README.md").write_text(_readme(package, why, texts=texts), encoding="utf-8")
    _write_digests(folder)


def _with_train(train: Sequence[Example], parts: Mapping[str, Sequence[Example]]) -> dict[str, Sequence[Example]]:
    """Add the train sentences that are in no other part: in a cross-validation, a fold has nearly all of them."""
    known = {own.id for examples in parts.values() for own in examples}
    only = [own for own in train if own.id not in known]
    return {**({"train": only} if only else {}), **parts}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _decisions(
    parts: Mapping[str, Sequence[Example]], labels: Sequence[str], *, texts: bool
) -> Iterator[dict[str, str]]:
    for part, examples in parts.items():
        for own in examples:
            digest = hashlib.sha256(own.text.encode("utf-8", "surrogatepass")).hexdigest()
            text = {"text": own.text} if texts else {}
            gold = _JOINED.join(label for label in labels if label in own.labels)
            known = {"example_id": own.id, "document_id": own.document_id, "part": part, "gold": gold}
            yield {**known, "text_sha256": digest, **text}


def _predictions(package: _Package) -> Iterator[dict[str, str]]:
    """Rows with all digits of the probabilities, so that figures of rankings can be reproduced."""
    labels, folds = package.contents.report.labels, _folds(package)
    for name, part in package.parts.items():
        measured = name == package.contents.report.basis
        groups = package.contents.outcome.groups if measured else group_examples(part.examples, allow_large=True)
        for own, held, numbers, group in zip(part.examples, part.predicted, part.probabilities, groups, strict=True):
            yield {
                "example_id": own.id,
                "document_id": own.document_id,
                "part": name,
                **({"fold": folds.get(own.id, "")} if folds else {}),
                "group": str(group),
                "gold": _JOINED.join(label for label in labels if label in own.labels),
                "labels": _JOINED.join(label for label, assigned in zip(labels, held, strict=True) if assigned),
                **{f"p:{label}": repr(float(p)) for label, p in zip(labels, numbers, strict=True)},
            }


def _folds(package: _Package) -> dict[str, str]:
    """The fold of each sentence by its id; empty if the run is no cross-validation, or has no split."""
    if package.split is None or not package.contents.report.folds:
        return {}
    return {own: name for name, ids in json.loads(package.split).get("folds", {}).items() for own in ids}


def _readme(package: _Package, why: str, *, texts: bool) -> str:
    contents = package.contents
    return render(
        "archive.md",
        name=contents.report.experiment or contents.name,
        report=contents.report,
        version=package_versions()["communique"],
        texts=texts,
        trained=not why,
        why_untrained=why,
        split=package.split is not None,
        folds=contents.report.folds,
        experiment=package.experiment is not None,
        identity=facts.identity(contents),
        md=markdown,
    )


def _write_digests(folder: Path) -> None:
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
