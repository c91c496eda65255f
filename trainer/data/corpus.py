"""Gold from the starter corpus or a label store, as examples or, for notebooks, as pandas tables.

This module is separate from `dataset`, so that training on a file does not import the label store. A table of labelled
sentences has one row per sentence, indexed by sentence id, with the columns `text`, `labels` (a tuple), `document_id`,
`date` and `synthetic`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from labels.agreement.report import agreement
from labels.codebook.releases import later_versions
from labels.codebook.schema import Codebook, load_codebook
from labels.environment.settings import command
from labels.errors import ColumnError, ExperimentError, InputError
from labels.exchange.jsonl import read_annotations
from labels.exchange.lines import Line
from labels.gold import MEASURING, resolve
from labels.records import RANDOM_STRATEGIES, Annotation, Example, Sentence
from labels.store import Store
from labels.text.documents import read_documents, read_file, read_front_matter
from labels.text.sentences import split_sentences
from trainer.data.caveats import only_undecided, reasons_without_gold, resolution_notes
from trainer.data.columns import Labelling, build_examples, read_texts
from trainer.data.splits import make_split
from trainer.environment import STARTER_CODEBOOK, shipped

if TYPE_CHECKING:
    import pandas as pd

    from labels.agreement.coefficients import Estimate
    from labels.agreement.comparisons import Figures


@dataclass(frozen=True)
class Gold:
    """Examples with their gold labels, and notes on excluded sentences and on annotations made under other versions.

    `aliases` maps other ids of examples, which occur in older files, to their ids. `undecided` is the number of
    sentences that a change of the codebook left undecided. `without_gold` has the reason for which a labelled sentence
    has no gold, by sentence id.
    """

    examples: list[Example]
    notes: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    undecided: int = 0
    without_gold: Mapping[str, str] = field(default_factory=dict)


def source_examples(
    source: str, store: str, codebook: Codebook, reference: str, named: Iterable[str] = ()
) -> tuple[Gold, str]:
    """Return the gold of the starter corpus ("seeds") or of the label store at `store` ("store"), and its name.

    Args:
        reference: name of the codebook in the experiment, for messages.
        named: example ids that the experiment's files name, for `Gold.aliases`.

    Raises:
        ExperimentError: no sentence has agreed labels, or as for `seed_examples`.
        CodebookError: as for `store_examples`.
    """
    if source == "seeds":
        gold, name, place = seed_examples(codebook), "seeds", ""
    else:
        with Store(store, create=False) as opened:
            gold, name, place = store_examples(opened, codebook, named), opened.name, opened.name
            if not gold.examples and gold.undecided:
                raise ExperimentError(only_undecided(opened, codebook, gold.undecided))
    if not gold.examples:
        label = command("label", "--annotator", "YOUR_NAME", store=place, codebook=reference)
        raise ExperimentError(f"{name}: no sentence has agreed labels yet. Label sentences with `{label}`.")
    return gold, name


def seed_examples(codebook: Codebook) -> Gold:
    """Return the gold of the starter corpus, resolved from the shipped annotations.

    Under an older shipped version of the codebook, decisions made under later versions do not count.

    Raises:
        ExperimentError: the labels of the corpus cannot be read under `codebook`.
        DataError: a shipped file was altered and is no longer valid.
    """
    lines = seed_lines(codebook)
    sentences = {line.sentence.id: line.sentence for line in lines}
    return _gold_examples([line.event for line in lines], sentences.values(), codebook, _starter_metadata())


def seed_lines(codebook: Codebook) -> list[Line]:
    """Return the shipped annotations that count under `codebook`; raises as `seed_examples` does."""
    _refuse_other_codebook(codebook)
    later, files = later_versions(codebook), sorted((shipped("seeds") / "annotations").glob("*.jsonl"))
    lines = (line for path in files for line in read_annotations(path, codebook))
    return [line for line in lines if line.event.codebook_hash not in later]


def _starter_metadata() -> dict[str, dict[str, str]]:
    """The front matter of the shipped documents, by the id that the annotations have for them."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted((shipped("seeds") / "documents").glob("*.txt")):
        own = {key: value for key, value in read_front_matter(path).items() if key not in ("title", "synthetic", "url")}
        for document in read_file(path, logger.warning):
            found |= dict.fromkeys((document.id, *document.former_ids), own)
    return found


def _refuse_other_codebook(codebook: Codebook) -> None:
    """Raise ExperimentError if this codebook lacks a label of the starter corpus or does not allow its label sets."""
    own = load_codebook(STARTER_CODEBOOK)
    same_sets = (codebook.exclusive, codebook.allow_none) == (own.exclusive, own.allow_none)
    if not same_sets or not set(own.label_names) <= set(codebook.label_names):
        raise ExperimentError(
            f"codebook '{codebook.name}' {codebook.version} does not match the starter corpus, which is coded with "
            f'"{STARTER_CODEBOOK}" ({", ".join(own.label_names)}). To train on sentences labelled with '
            f"'{codebook.name}', set data.source = \"store\" or name a file of labelled rows in data.train."
        )


def store_examples(store: Store, codebook: Codebook, named: Iterable[str] = ()) -> Gold:
    """Return the gold of a label store under `codebook`; annotations may come from any version of the codebook.

    Sentences are excluded, and counted in the notes, if their annotators differ or if a change of the codebook left
    their annotations undecided. Examples of all versions of an article have the first version as their document.

    Args:
        named: example ids that files name, for `Gold.aliases`.

    Raises:
        CodebookError: an annotation cannot be read under `codebook`; see `labels.gold.resolve`.
    """
    events = store.events.all()
    sentences = store.documents.sentences({event.sentence_id for event in events})
    gold = _gold_examples(events, sentences, codebook, store.documents.metadata(), store)
    known = {example.id for example in gold.examples}
    return replace(gold, aliases=store.documents.resolve(one for one in named if one not in known))


def _gold_examples(
    events: Sequence[Annotation],
    sentences: Iterable[Sentence],
    codebook: Codebook,
    metadata: Mapping[str, Mapping[str, str]],
    store: Store | None = None,
) -> Gold:
    resolution = resolve(events, codebook, store.codebooks.history() if store else None)
    first = store.documents.first_versions() if store else {}
    # In document order, so that the examples do not depend on the order of labelling or on the database.
    ordered = sorted(sentences, key=lambda sentence: (sentence.document_id, sentence.start))
    drawn = _draws(events)
    examples = [
        Example(
            id=s.id,
            document_id=first.get(s.document_id, s.document_id),
            text=s.text,
            labels=resolution.gold[s.id],
            date=metadata.get(s.document_id, {}).get("date", ""),
            synthetic=s.synthetic,
            drawn=drawn.get(s.id, ""),
            metadata={name: own for name, own in metadata.get(s.document_id, {}).items() if name != "date"},
        )
        for s in ordered
        if s.id in resolution.gold
    ]
    notes = tuple(resolution_notes(resolution, codebook, store.name if store else ""))
    return Gold(examples, notes, undecided=len(resolution.undecided), without_gold=reasons_without_gold(resolution))


def _draws(events: Iterable[Annotation]) -> dict[str, str]:
    """Return the strategy of the first draw by sentence id; a random draw takes precedence over any other."""
    drawn: dict[str, str] = {}
    for event in events:
        if event.event != "annotate" or event.strategy in MEASURING:
            continue
        if event.strategy in RANDOM_STRATEGIES:
            drawn[event.sentence_id] = "random"
        elif event.strategy:
            drawn.setdefault(event.sentence_id, event.strategy)
    return drawn


logger = logging.getLogger(__name__)


def load_starter_corpus(documents: int | None = None, *, seed: int = 13) -> pd.DataFrame:
    """Load the labelled sentences of the shipped corpus: synthetic news in English, coded with codebook "diplomatic".

    Args:
        documents: number of documents to choose at random; None for all documents.
        seed: seed of the random choice.

    Raises:
        InputError: the corpus does not have that many documents.
    """
    examples = seed_examples(load_codebook(STARTER_CODEBOOK)).examples
    if documents is not None:
        names = sorted({example.document_id for example in examples})
        if not 0 < documents <= len(names):
            raise InputError(
                f"documents = {documents}: the starter corpus has {len(names)} documents. Use 1 to {len(names)}."
            )
        chosen = set(Random(seed).sample(names, documents))
        examples = [example for example in examples if example.document_id in chosen]
    return _table(examples)


def load_gold(store: Store, codebook: Codebook | str = STARTER_CODEBOOK) -> pd.DataFrame:
    """Load the sentences of a store whose labels the annotators agree on or an adjudicator decided.

    The number of sentences left out, with the reason, is logged as a warning.

    Args:
        codebook: a codebook, the name of a shipped codebook, a TOML file, or NAME@VERSION for a codebook in the store.

    Raises:
        CodebookError: the codebook does not exist, or an annotation cannot be read under the codebook.
    """
    gold = store_examples(store, _codebook(codebook, store))
    for note in gold.notes:
        logger.warning("%s: %s.", store.name, note)
    return _table(gold.examples)


def measure_agreement(store: Store, codebook: Codebook | str = STARTER_CODEBOOK) -> pd.DataFrame:
    """Measure the agreement of a store's annotators: kappa and alpha per label, with the bounds of their intervals.

    The first level of the index names the compared decisions: "unbiased" for decisions made without a suggestion on
    sentences drawn at random, "other" for all others. The rows `all labels` compare whole label sets. NaN means
    undefined.

    Raises:
        CodebookError: as for `load_gold`.
    """
    import pandas as pd

    book = _codebook(codebook, store)
    events = store.events.all()
    found = store.documents.by_first_version({event.sentence_id for event in events})
    report = agreement(events, found, book, store.codebooks.history())
    blocks = {"unbiased": report.unbiased.figures, "other": report.other.figures}
    compared = {name: own for name, own in blocks.items() if own.n_sentences}
    rows = {(name, label): row for name, own in compared.items() for label, row in _agreement_rows(own)}
    ends = (f"{figure}{end}" for figure in ("kappa", "alpha") for end in ("", "_low", "_high"))
    columns = ["sentences", "prevalence", *ends]
    index = pd.MultiIndex.from_tuples(list(rows), names=["decisions", "label"]) if rows else None
    return pd.DataFrame(list(rows.values()), index=index, columns=columns)


def read_sentences(paths: str | Path | Iterable[str | Path], *, keep_quotes: bool = False) -> pd.DataFrame:
    """Read articles from files and folders, and split them into sentences without boilerplate.

    The table has one row per sentence, indexed by sentence id. The columns are `text`, `document_id`, `start`, `end`
    (offsets in the document's text), `heading` (whether the sentence is a headline), `source`, `title` and `date`.
    Files and rows that cannot be read are logged as warnings. With `keep_quotes`, a quotation of several sentences is
    one sentence.

    Raises:
        DataError: a path does not exist, or no file can be read.
    """
    import pandas as pd

    given = [paths] if isinstance(paths, str | Path) else paths
    rows = [
        {
            "id": sentence.id,
            "text": sentence.text,
            "document_id": document.id,
            "start": sentence.start,
            "end": sentence.end,
            "heading": sentence.heading,
            "source": document.source,
            "title": document.title,
            "date": document.date,
        }
        for document in read_documents(given, logger.warning)
        for sentence in split_sentences(document, keep_quotes=keep_quotes)
        if not sentence.boilerplate
    ]
    columns = ["id", "text", "document_id", "start", "end", "heading", "source", "title", "date"]
    return pd.DataFrame(rows, columns=columns).set_index("id")


def train_test_split(
    table: pd.DataFrame, test_size: float = 0.25, *, seed: int = 13
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide a table of labelled sentences into a training table and a test table.

    Rows of the same document, and near-duplicates, are always in the same table. Within this limit, both tables have
    similar label frequencies.

    Args:
        table: has the columns `text` and `labels` (or `label`), and `document_id` if sentences belong to documents.
        test_size: share of the rows in the test table, in (0, 1).
        seed: seed of the division.

    Raises:
        ColumnError: a column is missing or cannot be read, or `test_size` is not in (0, 1).
        ExperimentError: the rows cannot be divided because near-duplicates connect too many documents.
    """
    column = next((name for name in ("labels", "label") if name in table), None)
    if column is None or "text" not in table:
        raise ColumnError(f"The table needs the columns `text` and `labels` or `label`, but has {', '.join(table)}.")
    if not 0 < test_size < 1:
        raise ColumnError(f"test_size = {test_size} is not between 0 and 1. Pass a share such as 0.25.")
    y = table[column]
    label_sets = Labelling.of(y).label_sets(y)
    examples = build_examples(read_texts(table.text), label_sets, table.get("document_id"))
    # The same division as in experiments: a random split of rows would put near-duplicates into both tables.
    _, test = make_split(examples, (1 - test_size, test_size), seed)
    held_out = {example.id for example in test}
    is_test = [example.id in held_out for example in examples]
    return table[[not one for one in is_test]], table[is_test]


def _codebook(codebook: Codebook | str, store: Store) -> Codebook:
    if isinstance(codebook, Codebook):
        return codebook
    return store.codebooks.in_use(codebook)[0]


def _table(examples: Sequence[Example]) -> pd.DataFrame:
    import pandas as pd

    columns = ["id", "text", "labels", "document_id", "date", "synthetic"]
    return pd.DataFrame([asdict(example) for example in examples], columns=columns).set_index("id")


def _agreement_rows(figures: Figures) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, row in (*figures.per_label.items(), ("all labels", figures.sets)):
        kappa, alpha = _ends("kappa", row.kappa), _ends("alpha", row.alpha)
        yield name, {"sentences": figures.n_sentences, "prevalence": row.prevalence, **kappa, **alpha}


def _ends(name: str, estimate: Estimate) -> dict[str, float | None]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
