"""`communique demo`: the whole workflow on the starter corpus, from documents to a champion that labels an article."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labels.cli.terminal import console, progress_bars, table
from labels.errors import counted
from labels.unicode import visible
from trainer.cli.choice.leaderboard import print_results
from trainer.cli.choice.track import report_untracked

if TYPE_CHECKING:
    from rich.text import Text

    from labels.records import Document
    from labels.text.rows import Row
    from trainer.data.splits import Split
    from trainer.model.model import Model
    from trainer.runs.demo import Champion, Corpus


def demo(
    out: Annotated[Path, typer.Option("--out", help="New folder for the store, the split and the runs.")] = Path(
        "demo"
    ),
) -> None:
    """Try everything on the starter corpus: read, split, train four models, register the best, label a new article."""
    from trainer.runs import demo as steps

    with progress_bars():
        corpus = steps.read_corpus(out)
    print_corpus(corpus)
    split = steps.freeze_split(out, corpus)
    print_split(split, out / "split.json")
    with progress_bars():
        results = steps.train_all(out, corpus)
    print_results(results)
    champion = steps.register_champion(results)
    print_champion(champion)
    print_tagged(*tag_unseen(champion.run.model))
    print_next_steps(champion.reference)
    report_untracked(*((result.folder, result.tracked) for result in results))


def tag_unseen(model: Model) -> tuple[Document, list[Row]]:
    """Predict an article that is not in the corpus; returns the article and one row per sentence."""
    from labels.text.documents import read_file
    from labels.text.sentences import split_sentences
    from trainer.environment import shipped
    from trainer.predict import predict_rows

    [document] = read_file(shipped("seeds") / "unseen.txt", console.print)
    return document, predict_rows(model, [(document, one) for one in split_sentences(document) if not one.boilerplate])


def print_corpus(corpus: Corpus) -> None:
    """Step 1: print the numbers of documents, sentences and annotations read."""
    texts = corpus.texts
    console.print(
        f"1. Read {counted(texts.documents, 'document')} into {corpus.store}: {counted(texts.sentences, 'sentence')}, "
        f"{texts.boilerplate} of them set aside as boilerplate; {corpus.events} annotations."
    )


def print_split(split: Split, path: Path) -> None:
    """Step 2: print the sizes of the split and announce the training."""
    console.print(
        f"2. Froze a split of {len(split.train)} / {len(split.validation)} / {len(split.test)} sentences "
        f"(train / validation / test); no document is divided: {path}"
    )
    console.print("3. Training majority, keywords, tfidf and finetune; each is one MLflow run.")


def print_champion(champion: Champion) -> None:
    """Step 4: print the best model and its URI, or the reason for not registering it."""
    best = f"4. Best on validation: {champion.run.report.kind}"
    if champion.problem:
        console.print(f"{best}, saved in {champion.reference}, but not registered: {champion.problem}")
    else:
        console.print(f"{best}, registered as {champion.reference}.")


def print_tagged(document: Document, rows: Sequence[Mapping[str, Any]]) -> None:
    """Step 5: print the sentences of the article with their labels and probabilities."""
    console.print(f"5. Labels for an article that is not in the corpus: “{document.title}” ({document.source})")
    shown = table(("labels", "sentence"), map(_tagged_cells, rows), align="lt", show_header=False)
    console.print(shown, soft_wrap=False)
    console.print("In brackets: the most likely label of a sentence if no label reaches its threshold.")


def _tagged_cells(row: Mapping[str, Any]) -> tuple[Text, Text]:
    from rich.text import Text

    text = visible(row["text"])
    found = row["probabilities"]
    if not row["labels"]:
        likeliest = max(found, key=found.__getitem__)
        return Text(f"{found[likeliest]:.2f} ({likeliest})", style="dim"), Text(text, style="dim")
    return Text("\n".join(f"{found[label]:.2f} {label}" for label in row["labels"]), style="bold"), Text(text)


def print_next_steps(uri: str) -> None:
    """Print commands to try next."""
    console.print("Next, with your own articles:")
    for command, what in (
        (f"communique predict {uri} ARTICLES --out tagged.csv", "label every sentence"),
        (f"communique serve {uri}", "label texts over HTTP or on a web page"),
        ("communique ingest ARTICLES", "read articles into a store"),
        ("communique label --annotator YOUR_NAME", "label them yourself"),
        ("communique train finetune --set data.source=store", "train on your labels"),
        ("communique leaderboard --experiment communique-demo", "compare these runs again"),
        ("mlflow ui --backend-store-uri sqlite:///mlflow.db", "browse all recorded runs"),
    ):
        console.print(f"  {command}   # {what}", soft_wrap=True)
