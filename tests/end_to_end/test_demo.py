"""`communique demo`, and what a user does with its champion next: predict, evaluate, serve."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from labels.store import Store
from tests.end_to_end.conftest import run_command
from tests.end_to_end.server import serving

pytestmark = pytest.mark.slow

CHAMPION = "models:/diplomatic-statements@champion"
ARTICLE = (
    "Envoy leaves without a deal\n\n"
    "The Danish government will send forty generators to the border towns, its minister said on Monday. "
    "Rain fell on the harbour all day. "
    "The mediator urged both armies to stop shelling the valley at once.\n\n"
    "Share this article\n"
)


def _report(folder: Path, kind: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "demo/runs" / kind / "report.json").read_text())
    return content


def test_the_demo_trains_four_models_that_rank_as_they_should(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    scores = {kind: _report(folder, kind)["macro_f1"] for kind in ("majority", "keywords", "tfidf", "finetune")}
    assert scores["majority"] < scores["tfidf"] < scores["finetune"]
    assert scores["majority"] < scores["keywords"] < scores["finetune"]
    assert scores["finetune"] > 0.6


def test_the_demo_prints_a_leaderboard_a_tagged_article_and_the_next_commands(demo: tuple[Path, str]) -> None:
    _, printed = demo
    for kind in ("majority", "keywords", "tfidf", "finetune"):
        assert re.search(rf"^{kind} .*\d\.\d\d–\d\.\d\d", printed, re.MULTILINE)
    assert "Envoys leave Tarn talks" in printed
    assert f"communique serve {CHAMPION}" in printed
    assert "Traceback" not in printed


def test_the_demo_split_is_by_document_and_the_same_for_all(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    manifest = json.loads((folder / "demo/split.json").read_text())
    sizes = [len(manifest[part]) for part in ("train", "validation", "test")]
    assert sum(sizes) == 600
    assert sizes == pytest.approx([240, 120, 240], abs=12)
    with Store(folder / "demo/communique.db") as store:
        documents = {sentence.id: sentence.document_id for sentence in store.documents.sentences()}
    parts = [{documents[identifier] for identifier in manifest[part]} for part in ("train", "validation", "test")]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    hashes = {_report(folder, kind)["split_hash"] for kind in ("majority", "keywords", "tfidf", "finetune")}
    assert hashes == {manifest["hash"]}


def test_mlflow_holds_one_finished_run_for_each_model(demo: tuple[Path, str]) -> None:
    folder, _ = demo
    with sqlite3.connect(folder / "mlflow.db") as database:
        rows = database.execute("SELECT name, status FROM runs").fetchall()
    assert sorted(rows) == [(kind, "FINISHED") for kind in ("finetune", "keywords", "majority", "tfidf")]


def test_the_leaderboard_shows_the_champion(demo: tuple[Path, str]) -> None:
    finished = run_command(demo[0], "leaderboard", "--experiment", "communique-demo")
    assert finished.returncode == 0, finished.stderr
    assert re.search(r"^finetune \*", finished.stdout, re.MULTILINE)


def test_the_champion_tags_articles(demo: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "article.txt").write_text(ARTICLE)
    output = tmp_path / "tagged.csv"
    finished = run_command(demo[0], "predict", CHAMPION, str(tmp_path / "article.txt"), "--out", str(output))
    assert finished.returncode == 0, finished.stderr
    assert "share line 1" in finished.stdout
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"][:9] for row in rows] == ["Envoy lea", "The Danis", "Rain fell", "The media"]
    assert "aid_pledge" in rows[1]["labels"]
    assert rows[2]["labels"] == ""
    assert "ceasefire_call" in rows[3]["labels"]
    for row in rows:
        assert ARTICLE[int(row["start"]) : int(row["end"])] == row["text"]


def _read(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def test_evaluating_the_champion_on_its_own_test_part_gives_the_same_figures(
    demo: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = demo
    rows = [row for row in _read(folder / "demo/runs/finetune/predictions.parquet") if row["split"] == "test"]
    data = tmp_path / "held_out.jsonl"
    data.write_text(
        "".join(
            json.dumps({"text": r["text"], "labels": r["gold"], "document_id": r["document_id"]}) + "\n" for r in rows
        )
    )
    out = tmp_path / "report"
    finished = run_command(folder, "evaluate", CHAMPION, str(data), "--out", str(out))
    assert finished.returncode == 0, finished.stderr
    report, trained = json.loads((out / "report.json").read_text()), _report(folder, "finetune")
    assert report["macro_f1"] == pytest.approx(trained["macro_f1"], abs=1e-9)
    assert report["model_id"] == trained["model_id"]
    assert set(report) >= {"labels", "exclusive", "n_test", "n_groups", "per_label", "calibration", "intervals"}


def test_the_champion_serves_over_http_what_predict_writes(demo: tuple[Path, str]) -> None:
    text = "Norway will give another 40 million dollars for winter fuel, its minister said."
    with serving(demo[0], CHAMPION) as server:
        url = server.url
        health = httpx.get(f"{url}/health").json()
        assert health["status"] == "ok"
        assert health["kind"] == "finetune"
        assert health["synthetic"] is True
        answer = httpx.post(f"{url}/predict", json={"texts": [text, "Rain fell."]}).json()
        assert answer["predictions"][0]["labels"] == ["aid_pledge"]
        assert answer["predictions"][1]["labels"] == []
        assert httpx.get(f"{url}/codebook").json()["hash"] == answer["codebook_hash"]
        assert "communique" in httpx.get(f"{url}/").text
        docs = httpx.get(f"{url}/docs").text
        assert "https://" not in docs
        refused = httpx.post(f"{url}/predict", json={"texts": ["  "]})
        assert refused.status_code == 422


def test_ten_lines_of_plain_transformers_give_the_same_probabilities(demo: tuple[Path, str]) -> None:
    """The ten lines of trainer/README.md, as they stand there, on the demo's model."""
    folder, _ = demo
    readme = (Path(__file__).parents[2] / "trainer" / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```python\n(# Plain transformers.*?)```", readme, re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {}
    code = block.group(1).replace("runs/finetune/artefact", str(folder / "demo/runs/finetune/artefact"))
    exec(compile(code, "README.md", "exec"), names)
    rows = _read(folder / "demo/runs/finetune/predictions.parquet")[:20]
    for row in rows:
        assert names["predict"](row["text"]).tolist() == pytest.approx(row["probabilities"], abs=1e-4)
