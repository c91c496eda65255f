from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labels.codebook.changes import Step
from labels.codebook.schema import Codebook, dump_codebook, load_codebook
from labels.errors import CodebookError, DataError, ExperimentError, InputError
from labels.records import Annotation, Document, Example, Sentence
from labels.store import Store, now
from labels.store.codebook_migration import apply_migration, plan_migration
from tests.conftest import make_examples
from trainer.config.experiment import Experiment, parse_experiment
from trainer.data.corpus import seed_examples, store_examples
from trainer.data.dataset import Dataset, files_read, load_dataset, read_ids
from trainer.data.splits import Split
from trainer.environment import shipped

WriteJsonl = Callable[[str, list[dict[str, Any]]], Path]
DIPLOMATIC = load_codebook("diplomatic")
OLDER = load_codebook("diplomatic@1.1.0")
WIRE = "The minister said on Monday that the whole convoy had reached the northern port"


def experiment(**sections: dict[str, Any]) -> Experiment:
    return parse_experiment({"model": {"kind": "majority"}} | sections, "here")


def as_rows(examples: list[Example], **more: Any) -> list[dict[str, Any]]:
    return [
        {"example_id": e.id, "document_id": e.document_id, "text": e.text, "labels": list(e.labels), **more}
        for e in examples
    ]


def texts(dataset: Dataset, part: str) -> list[str]:
    return [example.text for example in dataset.parts[part]]


@pytest.fixture
def codebook_file(isolated: Path, codebook: Codebook) -> str:
    path = isolated / "small.toml"
    path.write_text(dump_codebook(codebook), encoding="utf-8")
    return str(path)


@pytest.fixture
def filled_store(codebook: Codebook) -> Path:
    """A store with 45 sentences of 15 dated documents; two annotators agree on all but the last three."""
    examples = make_examples(45)
    with Store("filled.db") as store:
        events: list[Annotation] = []
        for number in range(15):
            own = examples[3 * number : 3 * number + 3]
            document = Document(f"wire-{number}", " ".join(e.text for e in own), date=f"2026-01-{number + 1:02d}")
            sentences = []
            for example in own:
                start = document.text.index(example.text)
                sentences.append(Sentence(document.id, start, start + len(example.text), example.text))
            store.documents.add([(document, sentences)])
            for sentence, example in zip(sentences, own, strict=True):
                events += [event(sentence, "ann", example.labels), event(sentence, "ben", example.labels)]
        events[-1] = replace(events[-1], labels=("truce",) if events[-1].labels != ("truce",) else ())
        events[-4:-2] = [replace(old, state="skipped", labels=()) for old in events[-4:-2]]
        store.codebooks.add(codebook)
        store.events.add(events)
    return Path("filled.db")


def event(sentence: Sentence, annotator: str, labels: tuple[str, ...]) -> Annotation:
    identifier = f"{sentence.id}-{annotator}"
    return Annotation(identifier, sentence.id, annotator, "annotate", "reviewed", labels, "hash", now())


# -- labelled files


def test_three_files_are_the_three_parts_in_their_order(write_jsonl: WriteJsonl, codebook_file: str) -> None:
    examples = make_examples(30)
    files = {"train": examples[:18], "validation": examples[18:24], "test": examples[24:]}
    data = {part: str(write_jsonl(f"{part}.jsonl", as_rows(rows))) for part, rows in files.items()}
    dataset = load_dataset(experiment(data=data | {"codebook": codebook_file}))
    assert dataset.parts == files
    assert dataset.split.train == tuple(example.id for example in examples[:18])
    assert (dataset.source, dataset.synthetic, dataset.notes) == (data["train"], False, ())


def test_one_file_is_split_by_the_experiment(write_jsonl: WriteJsonl, codebook_file: str) -> None:
    examples = make_examples(60)
    data = {"train": str(write_jsonl("all.jsonl", as_rows(examples))), "codebook": codebook_file}
    dataset = load_dataset(experiment(data=data, split={"train": 0.5, "validation": 0.25, "test": 0.25}))
    assert [len(dataset.parts[part]) for part in ("train", "validation", "test")] == pytest.approx([30, 15, 15], abs=3)
    assert sorted(e.id for part in dataset.parts.values() for e in part) == [e.id for e in examples]


def test_texts_that_stand_there_with_different_labels_are_counted(write_jsonl: WriteJsonl, codebook_file: str) -> None:
    examples = make_examples(30)
    files = {"train": examples[:18], "validation": examples[18:24], "test": examples[24:]}
    again = [("train", 0, ("truce",)), ("test", 0, ()), ("validation", 4, ("aid", "truce")), ("train", 5, ())]
    for number, (part, row, labels) in enumerate(again):
        files[part] = [*files[part], replace(examples[row], id=f"again-{number}", labels=labels)]
    data = {part: str(write_jsonl(f"{part}.jsonl", as_rows(rows))) for part, rows in files.items()}
    notes = load_dataset(experiment(data=data | {"codebook": codebook_file})).notes
    (found,) = [note for note in notes if "different labels" in note]
    text = examples[0].text[:60]
    assert found.startswith(f"3 texts occur more than once, with different labels, e.g. '{text}'")


def test_a_text_that_is_repeated_with_the_same_labels_is_no_contradiction(
    write_jsonl: WriteJsonl, codebook_file: str
) -> None:
    examples = make_examples(30)
    twice = [*examples[:18], replace(examples[2], id="again", labels=examples[2].labels[::-1])]
    files = {"train": twice, "validation": examples[18:24], "test": examples[24:]}
    data = {part: str(write_jsonl(f"{part}.jsonl", as_rows(rows))) for part, rows in files.items()}
    assert load_dataset(experiment(data=data | {"codebook": codebook_file})).notes == ()


def test_without_a_validation_file_a_share_of_the_train_groups_is_held_out(
    write_jsonl: WriteJsonl, codebook_file: str
) -> None:
    examples = make_examples(150)
    data = {
        "train": str(write_jsonl("train.jsonl", as_rows(examples[:120]))),
        "test": str(write_jsonl("test.jsonl", as_rows(examples[120:]))),
        "codebook": codebook_file,
    }
    dataset = load_dataset(experiment(data=data))
    assert dataset.parts["test"] == examples[120:]
    assert len(dataset.parts["validation"]) == pytest.approx(0.15 * 120, abs=3)
    assert len(dataset.parts["train"]) + len(dataset.parts["validation"]) == 120
    documents = [{e.document_id for e in dataset.parts[part]} for part in ("train", "validation")]
    assert not documents[0] & documents[1]
    larger = load_dataset(experiment(data=data, calibration={"holdout": 0.3}))
    assert len(larger.parts["validation"]) == pytest.approx(0.3 * 120, abs=3)


def test_the_seed_decides_the_division(write_jsonl: WriteJsonl, codebook_file: str) -> None:
    data = {"train": str(write_jsonl("all.jsonl", as_rows(make_examples(60)))), "codebook": codebook_file}
    hashes = [load_dataset(experiment(data=data).model_copy(update={"seed": seed})).split.hash for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_equal_rows_at_equal_places_of_two_files_are_two_examples(write_jsonl: WriteJsonl, codebook_file: str) -> None:
    rows = [{"text": e.text, "labels": list(e.labels)} for e in make_examples(40)]
    for part in ("train", "test"):
        Path(part).mkdir()
    files = {part: str(write_jsonl(f"{part}/rows.jsonl", rows)) for part in ("train", "test")}
    split = load_dataset(experiment(data=files | {"codebook": codebook_file})).split
    assert len({*split.train, *split.validation, *split.test}) == 80


def test_a_validation_file_without_a_test_file_raises(write_jsonl: WriteJsonl, codebook_file: str) -> None:
    file = str(write_jsonl("all.jsonl", as_rows(make_examples(12))))
    with pytest.raises(ExperimentError, match=r"data\.validation needs data\.test"):
        load_dataset(experiment(data={"train": file, "validation": file, "codebook": codebook_file}))


def test_test_rows_that_train_or_validation_know_are_noted(write_jsonl: WriteJsonl, codebook_file: str) -> None:
    base = make_examples(12)
    extra = [Example("v", "v", f"{WIRE} again.", ("aid",)), Example("x", "x", f"{WIRE} at last.", ("aid",))]
    data = {
        "train": str(write_jsonl("train.jsonl", as_rows(base[:8]))),
        "validation": str(write_jsonl("validation.jsonl", as_rows(extra[:1]))),
        "test": str(write_jsonl("test.jsonl", as_rows([extra[1], *base[8:]]))),
        "codebook": codebook_file,
    }
    (note,) = load_dataset(experiment(data=data)).notes
    assert note.startswith("1 of 5 test rows are near-duplicates of train or validation rows")
    assert WIRE[:40] in note


def test_short_texts_that_stand_on_both_sides_of_a_split_are_noted(write_jsonl: WriteJsonl, codebook_file: str) -> None:
    rows = [replace(e, text=f"Rain fell on day {i % 5}.", document_id=f"d{i}") for i, e in enumerate(make_examples(60))]
    data = {"train": str(write_jsonl("all.jsonl", as_rows(rows))), "codebook": codebook_file}
    dataset = load_dataset(experiment(data=data))
    n_test = len(dataset.parts["test"])
    (note,) = [note for note in dataset.notes if "word for word" in note]
    assert note.startswith(f"{n_test} of {n_test} test rows occur word for word among the train or validation rows")


def test_a_codebook_can_be_inferred_from_all_files(write_jsonl: WriteJsonl) -> None:
    rows = [{"text": f"Sentence {i}.", "labels": [("b", "a")[i % 2]]} for i in range(9)]
    data = {"train": str(write_jsonl("wire.jsonl", rows)), "codebook": "infer"}
    dataset = load_dataset(experiment(data=data))
    assert dataset.codebook.label_names == ("a", "b")
    assert not dataset.codebook.exclusive


def test_to_infer_a_codebook_without_a_file_raises() -> None:
    with pytest.raises(ExperimentError, match=r"needs a file in data\.train\. Add data\.train or name a codebook"):
        load_dataset(experiment(data={"codebook": "infer"}))


def test_a_label_without_a_train_example_raises_with_its_name(write_jsonl: WriteJsonl, codebook_file: str) -> None:
    truce = [example for example in make_examples(40) if example.labels == ("truce",)]
    aid = [example for example in make_examples(40) if example.labels == ("aid",)]
    data = {
        "train": str(write_jsonl("train.jsonl", as_rows(truce))),
        "validation": str(write_jsonl("validation.jsonl", as_rows(aid))),
        "test": str(write_jsonl("test.jsonl", as_rows(make_examples(4)))),
        "codebook": codebook_file,
    }
    with pytest.raises(ExperimentError, match=r"train\.jsonl: no train example has the label aid\. Add examples"):
        load_dataset(experiment(data=data))


def test_a_label_that_the_codebook_lacks_raises_with_file_and_row(write_jsonl: WriteJsonl, codebook_file: str) -> None:
    rows = [*as_rows(make_examples(3)), {"text": "Oslo pledged.", "labels": ["ad"]}]
    data = {"train": str(write_jsonl("all.jsonl", rows)), "codebook": codebook_file}
    with pytest.raises(DataError, match=r"all\.jsonl:4: label 'ad' .*did you mean 'aid'"):
        load_dataset(experiment(data=data))


def test_synthetic_text_in_any_part_marks_the_dataset(write_jsonl: WriteJsonl, codebook_file: str) -> None:
    examples = make_examples(24)
    data = {
        "train": str(write_jsonl("train.jsonl", as_rows(examples[:18]))),
        "validation": str(write_jsonl("validation.jsonl", as_rows(examples[18:21]))),
        "test": str(write_jsonl("test.jsonl", as_rows(examples[21:], synthetic=True))),
        "codebook": codebook_file,
    }
    assert load_dataset(experiment(data=data)).synthetic


def test_all_that_a_run_reads_is_known_before_it() -> None:
    data = {"train": "a.jsonl", "codebook": "c.toml"}
    assert set(files_read(experiment(data=data | {"test": "b.jsonl"}))) == {"a.jsonl", "b.jsonl", "c.toml"}
    assert set(files_read(experiment(data=data, split={"manifest": "m.json"}))) == {"a.jsonl", "c.toml", "m.json"}
    cascade = {"kind": "cascade", "cheap": {"kind": "embedding", "encoder": "one"}}
    expensive = {"kind": "finetune", "encoder": "other"}
    assert {"one", "other"} <= set(files_read(experiment(model=cascade | {"expensive": expensive})))
    Path("communique.toml").write_text('store = "mine.db"\n', encoding="utf-8")
    assert "mine.db" in files_read(experiment(data={"source": "store"}))
    assert "mine.db" not in files_read(experiment())
    Path("communique.toml").write_text('codebook = "mine.toml"\n', encoding="utf-8")
    assert "mine.toml" in files_read(experiment(data={"source": "store"}))


# -- hashes


def a_dataset(codebook: Codebook, train: list[Example], test: list[Example]) -> Dataset:
    parts = {"train": train, "validation": [], "test": test}
    ids = {part: tuple(e.id for e in rows) for part, rows in parts.items()}
    return Dataset(codebook, parts, Split(**ids), "here", False, ())


def test_the_training_hash_follows_texts_and_labels_of_train_but_not_their_order_or_test(codebook: Codebook) -> None:
    rows = make_examples(12)
    base = a_dataset(codebook, rows[:8], rows[8:]).training_hash
    assert len(base) == 16
    assert a_dataset(codebook, rows[7::-1], rows[8:10]).training_hash == base
    assert a_dataset(codebook, [replace(rows[0], text="Other."), *rows[1:8]], rows[8:]).training_hash != base
    assert a_dataset(codebook, [replace(rows[0], labels=()), *rows[1:8]], rows[8:]).training_hash != base


def test_the_evaluation_hash_follows_texts_and_labels_of_test_but_not_those_of_train(codebook: Codebook) -> None:
    rows = make_examples(12)
    base = a_dataset(codebook, rows[:8], rows[8:]).evaluation_hash
    assert len(base) == 16
    assert a_dataset(codebook, rows[:4], rows[:7:-1]).evaluation_hash == base
    assert a_dataset(codebook, rows[:8], [replace(rows[8], labels=("truce", "aid")), *rows[9:]]).evaluation_hash != base
    assert a_dataset(codebook, rows[:8], rows[8:11]).evaluation_hash != base


# -- the starter corpus


@pytest.fixture(scope="module")
def starter_corpus() -> Dataset:
    """The dataset of an experiment that names no data; reading and dividing it takes seconds."""
    return load_dataset(experiment())


@pytest.mark.slow
def test_the_starter_corpus_is_every_sentence_whose_readings_agree_or_were_adjudicated(starter_corpus: Dataset) -> None:
    readings: dict[str, set[tuple[str, ...]]] = {}
    adjudicated: dict[str, tuple[str, ...]] = {}
    for path in (shipped("seeds") / "annotations").glob("*.jsonl"):
        for event in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            if event["event"] == "adjudicate":
                adjudicated[event["sentence_id"]] = tuple(event["labels"])
            elif event["state"] == "reviewed":
                readings.setdefault(event["sentence_id"], set()).add(tuple(event["labels"]))
    agreed = {sentence: next(iter(sets)) for sentence, sets in readings.items() if len(sets) == 1}
    examples = [example for part in starter_corpus.parts.values() for example in part]
    assert {example.id: example.labels for example in examples} == agreed | adjudicated
    assert len({example.id for example in examples}) == len(examples)


@pytest.mark.parametrize("change", [{"exclusive": True}, {"allow_none": False}, {"labels": DIPLOMATIC.labels[1:]}])
def test_a_codebook_that_does_not_fit_the_starter_corpus_is_refused_with_the_repair(change: dict[str, Any]) -> None:
    other = DIPLOMATIC.model_copy(update={"name": "mine"} | change)
    Path("mine.toml").write_text(dump_codebook(other), encoding="utf-8")
    with pytest.raises(ExperimentError, match=r"'mine' 1\.2\.0 does not match .*data\.source = .store..*data\.train"):
        load_dataset(experiment(data={"codebook": "mine.toml"}))


@pytest.mark.slow
def test_the_starter_corpus_splits_into_three_parts_that_all_hold_every_label(starter_corpus: Dataset) -> None:
    assert starter_corpus.source == "seeds"
    assert starter_corpus.synthetic
    assert starter_corpus.codebook == DIPLOMATIC
    for part in starter_corpus.parts.values():
        assert set(DIPLOMATIC.label_names) == {label for example in part for label in example.labels}


@pytest.mark.slow
def test_the_list_of_the_demo_names_sentences_of_the_starter_corpus(starter_corpus: Dataset) -> None:
    known = {example.id for part in starter_corpus.parts.values() for example in part}
    assert set(read_ids(shipped("seeds") / "demo.txt")) <= known


# -- a list of ids


@pytest.fixture
def only_listed(filled_store: Path, codebook_file: str) -> Callable[..., Dataset]:
    """Read the sentences of a store that a file lists, divided into three parts."""
    data = {"source": "store", "store": str(filled_store), "codebook": codebook_file, "only": "ids.txt"}

    def read(*ids: str) -> Dataset:
        Path("ids.txt").write_text("".join(f"{identifier}\n" for identifier in ids), encoding="utf-8")
        return load_dataset(experiment(data=data))

    return read


def test_only_keeps_the_listed_examples(
    only_listed: Callable[..., Dataset], filled_store: Path, codebook: Codebook
) -> None:
    with Store(filled_store) as store:
        ids = [example.id for example in store_examples(store, codebook).examples]
    dataset = only_listed(*ids[:30])
    assert {example.id for part in dataset.parts.values() for example in part} == set(ids[:30])
    with pytest.raises(ExperimentError, match=r"ids\.txt: 2 of its 3 ids are not in the data, e\.g\. 'zzz'"):
        only_listed(ids[0], "zzz", "yyy")


def test_an_empty_list_of_ids_raises(only_listed: Callable[..., Dataset]) -> None:
    with pytest.raises(ExperimentError, match=r"ids\.txt: this list of ids is empty"):
        only_listed("")


@pytest.mark.parametrize("content", [None, b"\xfa\xfb"])
def test_a_list_of_ids_that_cannot_be_read_raises(content: bytes | None) -> None:
    if content is not None:
        Path("ids.txt").write_bytes(content)
    with pytest.raises(ExperimentError, match=r"ids\.txt: this list of ids cannot be read.*`data\.only`"):
        load_dataset(experiment(data={"only": "ids.txt"}))


def test_a_manifest_divides_as_it_says_whatever_the_seed(write_jsonl: WriteJsonl, codebook_file: str) -> None:
    data = {"train": str(write_jsonl("all.jsonl", as_rows(make_examples(60)))), "codebook": codebook_file}
    first = load_dataset(experiment(data=data))
    first.split.save(Path("split.json"))
    again = load_dataset(experiment(data=data, split={"manifest": "split.json"}).model_copy(update={"seed": 99}))
    assert again.split == first.split
    assert again.parts == first.parts


# -- the label store


def store_dataset(codebook_file: str, **more: Any) -> Dataset:
    return load_dataset(experiment(data={"source": "store", "codebook": codebook_file, **more}))


def test_agreed_sentences_of_a_store_are_the_examples_and_the_rest_is_noted(
    filled_store: Path, codebook_file: str
) -> None:
    dataset = store_dataset(codebook_file, store=str(filled_store))
    found = {e.text: e.labels for part in dataset.parts.values() for e in part}
    assert found == {e.text: e.labels for e in make_examples(45)[:43]}
    assert Counter(dataset.notes) == Counter(
        ["1 sentence was left out: its annotators disagree", "1 sentence was left out: its annotators skipped it"]
    )
    assert dataset.source == str(filled_store)
    assert not dataset.synthetic


def test_a_store_that_is_named_by_url_is_told_as_people_call_it(filled_store: Path, codebook_file: str) -> None:
    assert store_dataset(codebook_file, store=f"sqlite:///{filled_store}").source == str(filled_store)


def test_examples_of_a_store_bear_the_date_of_their_document(filled_store: Path, codebook: Codebook) -> None:
    with Store(filled_store) as store:
        examples = store_examples(store, codebook).examples
    dates = {example.text: example.date for example in examples}
    assert [dates[example.text] for example in make_examples(4)] == ["2026-01-01"] * 3 + ["2026-01-02"]


def test_the_store_of_the_settings_is_used_where_the_experiment_names_none(
    filled_store: Path, codebook_file: str
) -> None:
    Path("communique.toml").write_text(f'store = "{filled_store}"\n', encoding="utf-8")
    assert store_dataset(codebook_file).source == str(filled_store)


@pytest.mark.usefixtures("filled_store")
def test_the_store_of_the_experiment_wins_over_the_settings(codebook_file: str) -> None:
    Path("communique.toml").write_text('store = "filled.db"\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"other\.db: this label store does not exist\. Create it"):
        store_dataset(codebook_file, store="other.db")
    assert not Path("other.db").exists()


def test_a_store_is_read_under_the_codebook_of_the_settings_where_the_experiment_names_none(
    filled_store: Path, codebook_file: str, codebook: Codebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("communique.toml").write_text(f'codebook = "{codebook_file}"\n', encoding="utf-8")
    assert store_dataset("", store=str(filled_store)).codebook == codebook
    monkeypatch.setenv("COMMUNIQUE_CODEBOOK", "nowhere.toml")
    assert store_dataset(codebook_file, store=str(filled_store)).codebook == codebook
    with pytest.raises(CodebookError, match=r"nowhere\.toml: cannot read this codebook"):
        store_dataset("", store=str(filled_store))


def test_data_that_come_from_no_store_do_not_follow_the_settings(write_jsonl: WriteJsonl) -> None:
    Path("communique.toml").write_text('codebook = "nowhere.toml"\n', encoding="utf-8")
    assert "nowhere.toml" not in files_read(experiment())
    names = DIPLOMATIC.label_names
    rows = [{"text": f"Sentence {n} of the bulletin.", "labels": [names[n % len(names)]]} for n in range(60)]
    data = {"source": "store", "train": str(write_jsonl("all.jsonl", rows))}
    assert load_dataset(experiment(data=data)).codebook == DIPLOMATIC


def test_a_store_without_agreed_labels_raises_with_the_repair(codebook_file: str) -> None:
    with Store("empty.db"):
        pass
    message = (
        r"empty\.db: no sentence has agreed labels yet\. Label sentences with "
        rf"`communique label --annotator YOUR_NAME --store empty\.db --codebook {re.escape(codebook_file)}`"
    )
    with pytest.raises(ExperimentError, match=message):
        store_dataset(codebook_file, store="empty.db")


# -- versions of the codebook


@pytest.fixture
def versioned_store(filled_store: Path, codebook: Codebook) -> Path:
    """The filled store with its annotations made under `codebook`, and a second version that splits `aid`."""
    old = Path("versioned.db")
    with Store(filled_store) as source, Store(old) as store:
        store.codebooks.add(codebook)
        store.add_annotated(source.documents.sentences(), [])
        store.events.add([replace(event, codebook_hash=codebook.hash) for event in source.events.all()])
        steps = [Step("split", ("aid",), ("loan", "gift"))]
        apply_migration(store, plan_migration(store, codebook, second_version(codebook), steps))
    return old


def second_version(codebook: Codebook) -> Codebook:
    aid, truce = codebook.labels
    parts = tuple(aid.model_copy(update={"name": name, "key": ""}) for name in ("loan", "gift"))
    return codebook.model_copy(update={"version": "2", "labels": (*parts, truce)})


def test_sentences_that_a_change_leaves_undecided_are_left_out_and_noted(
    versioned_store: Path, codebook: Codebook
) -> None:
    with Store(versioned_store) as store:
        gold = store_examples(store, second_version(codebook))
    without_aid = {e.text: e.labels for e in make_examples(45)[:43] if "aid" not in e.labels}
    assert {e.text: e.labels for e in gold.examples} == without_aid
    undecided = sum("aid" in e.labels for e in make_examples(45))
    (waiting,) = [note for note in gold.notes if "relabel" in note]
    assert waiting.startswith(f"{undecided} sentences must be relabelled under codebook small 2: run `communique label")
    assert f" --strategy relabel --store {versioned_store} --codebook small@" in waiting
    assert any(
        note.endswith("were converted to codebook small 2 using the recorded label changes") for note in gold.notes
    )


def test_annotations_made_under_other_wording_are_noted(versioned_store: Path, codebook: Codebook) -> None:
    reworded = codebook.model_copy(update={"version": "1.1"})
    with Store(versioned_store) as store:
        gold = store_examples(store, reworded)
    assert len(gold.examples) == 43
    assert "88 annotations were made under another wording of codebook small 1.1 with the same labels" in gold.notes


def test_a_codebook_to_which_no_change_is_recorded_raises_with_the_command(
    versioned_store: Path, exclusive_codebook: Codebook
) -> None:
    with Store(versioned_store) as store, pytest.raises(CodebookError, match="communique codebook migrate"):
        store_examples(store, exclusive_codebook)


def test_an_experiment_can_pin_a_version_that_the_store_keeps(versioned_store: Path, codebook: Codebook) -> None:
    for reference in ("small@1", f"small@{codebook.hash}"):
        dataset = store_dataset(reference, store=str(versioned_store))
        assert dataset.codebook == codebook
        assert sum(len(part) for part in dataset.parts.values()) == 43


def test_a_pinned_version_that_the_store_does_not_keep_raises_with_those_it_does(versioned_store: Path) -> None:
    with pytest.raises(CodebookError, match=r"this store has no codebook 'small@7'.*small@1 .*small@2 "):
        store_dataset("small@7", store=str(versioned_store))


def test_to_pin_a_version_without_a_store_raises(write_jsonl: WriteJsonl) -> None:
    file = str(write_jsonl("all.jsonl", as_rows(make_examples(12))))
    for data in ({"codebook": "small@1"}, {"codebook": "small@1", "source": "store", "train": file}):
        with pytest.raises(ExperimentError, match=r'"small@1" names a version in a label store'):
            load_dataset(experiment(data=data))


# -- how the sentences were drawn


def drawn_store(filled_store: Path, codebook: Codebook, strategies: dict[str, str]) -> str:
    """The filled store again, the decisions of each annotator drawn by their strategy."""
    with Store(filled_store) as source, Store("drawn.db") as store:
        store.codebooks.add(codebook)
        store.add_annotated(source.documents.sentences(), [])
        store.events.add([replace(event, strategy=strategies[event.annotator]) for event in source.events.all()])
    return "drawn.db"


def test_a_test_part_not_drawn_at_random_is_noted(filled_store: Path, codebook: Codebook, codebook_file: str) -> None:
    store = drawn_store(filled_store, codebook, {"ann": "uncertainty", "ben": "uncertainty"})
    dataset = store_dataset(codebook_file, store=store)
    n = len(dataset.parts["test"])
    (warning,) = [note for note in dataset.notes if "at random" in note]
    assert warning.startswith(f"{n} of {n} test sentences were not drawn at random (uncertainty {n})")


@pytest.mark.parametrize(
    "strategies", [{"ann": "random", "ben": "overlap"}, {"ann": "relabel", "ben": "random"}, {"ann": "", "ben": ""}]
)
def test_what_was_drawn_at_random_by_anyone_or_in_an_unknown_way_is_not_warned_of(
    filled_store: Path, codebook: Codebook, codebook_file: str, strategies: dict[str, str]
) -> None:
    dataset = store_dataset(codebook_file, store=drawn_store(filled_store, codebook, strategies))
    assert not [note for note in dataset.notes if "at random" in note]
    known = {strategy for strategy in strategies.values() if strategy} & {"random", "overlap"}
    assert {e.drawn for part in dataset.parts.values() for e in part} == ({"random"} if known else {""})


def test_corrections_on_the_page_are_only_for_training(
    filled_store: Path, codebook: Codebook, codebook_file: str
) -> None:
    store = drawn_store(filled_store, codebook, {"ann": "page", "ben": "page"})
    parts = store_dataset(codebook_file, store=store).parts
    assert (parts["validation"], parts["test"]) == ([], [])
    assert {example.drawn for example in parts["train"]} == {"page"}


def test_the_starter_corpus_has_the_gold_of_the_codebook_version_asked_for() -> None:
    newer, older = ({one.id: one.labels for one in seed_examples(book).examples} for book in (DIPLOMATIC, OLDER))
    changed = {identifier for identifier, labels in older.items() if newer[identifier] != labels}
    reread = (shipped("seeds") / "annotations" / "rereading-1.2.0.jsonl").read_text(encoding="utf-8").splitlines()

    assert changed == {json.loads(line)["sentence_id"] for line in reread}
    assert all(json.loads(line)["codebook_hash"] == DIPLOMATIC.hash for line in reread)
