"""Id lists and split manifests with ids of earlier releases are used with a store that was filled today."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labels.codebook.schema import Codebook, dump_codebook
from labels.errors import ExperimentError
from labels.records import Annotation, Document, sentence_id
from labels.store import Store
from labels.text.sentences import split_sentences
from trainer.config.experiment import Experiment
from trainer.data.dataset import load_dataset
from trainer.data.splits import Split

TEXTS = [
    f"{sender} pledged {number} trucks to the {place}. {sender} called for a truce near the {place}. Rain fell on "
    f"{place}."
    for number, (sender, place) in enumerate(
        [("Oslo", "river"), ("Bergen", "dam"), ("Riga", "mill"), ("Bern", "port"), ("Graz", "lock"), ("Ulm", "gate")], 7
    )
]


@pytest.fixture
def old_ids(codebook: Codebook) -> list[str]:
    """Fill a store whose ids are today's; returns the ids that an earlier release gave to the sentences."""
    Path("codebook.toml").write_text(dump_codebook(codebook), encoding="utf-8")
    old: list[str] = []
    with Store("store.db") as store:
        for number, text in enumerate(TEXTS):
            document = Document("Wire", text, date=f"2024-05-{number + 1:02d}")
            sentences = split_sentences(document)
            store.documents.add([(document, sentences)])
            store.events.add([event(one.id, codebook, position) for position, one in enumerate(sentences)])
            old += [sentence_id(document.former_ids[0], one.start, one.end) for one in sentences]
    return old


def event(sentence: str, codebook: Codebook, position: int, annotator: str = "ana") -> Annotation:
    labels = (*codebook.label_names[:2], "")[position : position + 1]
    given = tuple(label for label in labels if label)
    return Annotation(
        f"{annotator}-{sentence}", sentence, annotator, "annotate", "reviewed", given, codebook.hash, "2026-01-01"
    )


def experiment(**sections: Any) -> Experiment:
    data = {"source": "store", "store": "store.db", "codebook": "codebook.toml", **sections.pop("data", {})}
    return Experiment.model_validate({"model": {"kind": "majority"}, "data": data, **sections})


def test_a_list_of_old_ids_chooses_the_same_sentences(old_ids: list[str]) -> None:
    Path("ids.txt").write_text("\n".join(old_ids[:12]), encoding="utf-8")
    dataset = load_dataset(experiment(data={"only": "ids.txt"}))

    chosen = {example.id: example.text for part in dataset.parts.values() for example in part}
    assert list(chosen) != old_ids[:12]
    assert set(chosen) == set(old_ids[:12])
    assert {text.split(" ")[0] for text in chosen.values()} == {"Oslo", "Bergen", "Riga", "Bern", "Rain"}


def test_an_old_manifest_verifies_and_divides_with_its_own_ids(old_ids: list[str]) -> None:
    manifest = Split(tuple(old_ids[:9]), tuple(old_ids[9:12]), tuple(old_ids[12:]))
    manifest.save(Path("split.json"))
    dataset = load_dataset(experiment(split={"manifest": "split.json"}))

    assert dataset.split == manifest
    assert dataset.split.hash == manifest.hash
    assert [example.text for example in dataset.parts["validation"]] == [
        "Bern pledged 10 trucks to the port.",
        "Bern called for a truce near the port.",
        "Rain fell on port.",
    ]


def test_an_id_list_and_a_manifest_may_have_different_ids(old_ids: list[str]) -> None:
    today = load_dataset(experiment()).parts
    ids = {example.text: example.id for part in today.values() for example in part}
    Path("ids.txt").write_text("\n".join(ids.values()), encoding="utf-8")
    Split(tuple(old_ids[:9]), tuple(old_ids[9:12]), tuple(old_ids[12:])).save(Path("split.json"))

    dataset = load_dataset(experiment(data={"only": "ids.txt"}, split={"manifest": "split.json"}))
    assert [example.id for example in dataset.parts["test"]] == old_ids[12:]


def test_an_unknown_id_is_still_refused(old_ids: list[str]) -> None:
    Path("ids.txt").write_text("\n".join([*old_ids, "0123456789abcdef"]), encoding="utf-8")
    with pytest.raises(
        ExperimentError, match=r"ids\.txt: 1 of its 19 ids are not in the data, e\.g\. '0123456789abcdef'"
    ):
        load_dataset(experiment(data={"only": "ids.txt"}))
