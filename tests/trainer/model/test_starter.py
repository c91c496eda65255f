"""The starter model: unpacked once, from the shipped file, into exactly the bytes of its manifest."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labels.codebook.schema import load_codebook
from labels.errors import ArtefactError
from trainer.cli import app
from trainer.environment import STARTER_CODEBOOK, shipped
from trainer.model import starter
from trainer.model.model import MANIFEST, Model
from trainer.model.starter import FILE, LARGEST, WEIGHTS, is_starter, pack, starter_artefact, unpack
from trainer.predict.bulk import predict_files
from trainer.runs.tracking.registry import fetch_artefact

PACKED = shipped("seeds") / FILE


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("starter") / "artefact"
    unpack(PACKED, folder)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(starter, "_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_the_shipped_file_becomes_a_valid_artefact_of_the_default_codebook(unpacked: Path) -> None:
    model = Model.load(unpacked)  # checks every digest
    assert model.codebook.hash == load_codebook(STARTER_CODEBOOK).hash
    assert model.manifest is not None
    assert model.manifest.synthetic
    assert PACKED.stat().st_size <= LARGEST


def test_it_labels_plain_statements_and_nothing_else(unpacked: Path) -> None:
    model = Model.load(unpacked)
    texts = [
        "Norway will provide another $40 million to repair the grid, its prime minister said on Tuesday.",
        "The envoy urged both armies to agree to a ceasefire before Friday.",
        "Rain fell for most of the morning, and the ferry left two hours late.",
    ]
    assert model.label_sets(model.predict_proba(texts)) == [("aid_pledge",), ("ceasefire_call",), ()]


def test_packing_it_again_gives_the_same_bytes(unpacked: Path, tmp_path: Path) -> None:
    pack(unpacked, tmp_path / "again.zip")
    unpack(tmp_path / "again.zip", tmp_path / "again")
    assert (tmp_path / "again" / WEIGHTS).read_bytes() == (unpacked / WEIGHTS).read_bytes()
    assert (tmp_path / "again" / MANIFEST).read_bytes() == (unpacked / MANIFEST).read_bytes()


def test_the_reference_is_unpacked_once_and_kept(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = fetch_artefact("starter")
    assert folder.parent == cache
    monkeypatch.setattr(starter, "unpack", lambda *_: pytest.fail("unpacked twice"))
    assert starter_artefact() == folder
    assert [path.name for path in cache.iterdir()] == [folder.name]  # no temporary folder is left


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_starter("starter")
    (tmp_path / "starter").mkdir()
    assert not is_starter("starter")
    assert fetch_artefact("starter") == Path("starter")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_no_obstacle(cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o500)
    assert Model.load(starter_artefact()).manifest is not None


def test_a_cache_in_place_of_which_a_file_lies_is_no_obstacle(cache: Path) -> None:
    cache.write_text("in the way", encoding="utf-8")
    assert (starter_artefact() / MANIFEST).is_file()


def test_an_altered_file_is_refused(tmp_path: Path) -> None:
    whole = PACKED.read_bytes()
    (tmp_path / FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtefactError, match=r"starter\.zip: the starter model has been altered"):
        unpack(tmp_path / FILE, tmp_path / "artefact")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(ArtefactError, match="altered"):
        unpack(tmp_path / "empty.zip", tmp_path / "artefact")


def test_predict_needs_neither_a_model_nor_an_output(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("article.txt").write_text("Oslo will send ten more tanks to Kyiv, the minister said.\n", encoding="utf-8")
    done = CliRunner().invoke(app, ["predict", "starter", "article.txt"])
    assert done.exit_code == 0, done.output
    assert "was trained only on invented articles" in " ".join(done.output.split())
    assert '"labels": ["aid_pledge"]' in Path("predictions.jsonl").read_text(encoding="utf-8")

    again = CliRunner().invoke(app, ["predict", "starter", "article.txt"])
    assert again.exit_code != 0
    assert "predictions.jsonl already exists. Choose another file with --out" in " ".join(again.output.split())
    assert CliRunner().invoke(app, ["predict", "starter", "article.txt", "--out", "predictions.jsonl"]).exit_code == 0


def test_the_python_interface_takes_the_name(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("article.txt").write_text("Rain fell for most of the morning in the valley.\n", encoding="utf-8")
    assert predict_files("starter", ["article.txt"], "out.jsonl").sentences == 1


@pytest.mark.parametrize("command", [["export", "--onnx"], ["distill", "--texts", "texts.txt"]])
def test_a_message_about_missing_rows_names_the_starter(command: list[str], isolated: Path) -> None:
    (isolated / "texts.txt").write_text("Rain fell.\n", encoding="utf-8")
    done = CliRunner().invoke(app, [*command, "starter", "--out", "out"])
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: starter: 0 validation rows")
