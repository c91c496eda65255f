"""`communique status`: print the progress of labelling."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from labels.cli.terminal import (
    CodebookOption,
    StoreOption,
    codebook_in_use,
    console,
    local_time,
    number,
    table,
    warn_of_place,
)
from labels.environment.settings import command, load_settings, relabel_command
from labels.errors import CodebookError, CommuniqueError, counted

if TYPE_CHECKING:
    from labels.codebook.schema import Codebook
    from labels.environment.settings import Settings
    from labels.store import Store


_EXPLAINED = {
    "": "(unknown)",
    "planted": "planted (known answers; measurement only)",
    "retest-only": "retest (own decisions again; measurement only)",
    "retest": "retest (of an earlier release; replaced decisions)",
}
"""Strategies that are not typed by these names, in words."""


def status_command(store: StoreOption = None, codebook: CodebookOption = None) -> None:
    """Show the progress of each annotator, the numbers of labels, and everything that waits."""
    from labels.store import Store, last_midnight

    settings = load_settings(store=store, codebook=codebook)
    given = codebook_in_use(settings) if codebook else None
    with Store(settings.store, create=False) as opened:
        warn_of_place(settings.store)
        reference = _codebook_of(opened, given, settings)
        _print_extent(opened)
        _print_annotators(opened, last_midnight())
        _print_labels(opened)
        _print_strategies(opened)
        _print_waiting(opened, settings, reference)
        _print_disputes(opened, given, settings, reference)
        _print_relabelling(opened, reference)
        _print_scores(opened)
        _print_kept_version(opened, settings)


def _print_kept_version(store: Store, settings: Settings) -> None:
    from labels.codebook.schema import shipped_versions

    if shipped_versions(settings.codebook) and (note := store.codebooks.in_use(settings.codebook)[1]):
        console.print(f"Note: {note}", soft_wrap=True)


def _codebook_of(store: Store, given: Codebook | None, settings: Settings) -> str:
    """The codebook for the commands that are named: that in use or, if it is unrelated, that of the last decision.

    Raises:
        CodebookError: a codebook is given, and it is unrelated to the decisions.
    """
    if not store.codebooks.of_decisions():
        return settings.codebook
    if given is not None:
        store.codebooks.refuse_foreign(given)
        return settings.codebook
    last = store.codebooks.all().get(store.waiting.last_codebook())
    try:
        store.codebooks.refuse_foreign(store.codebooks.in_use(settings.codebook)[0])
    except CommuniqueError:
        if last is None:
            return settings.codebook
        console.print(
            f"The decisions were made under codebook {last.name}@{last.hash}, which is unrelated to the codebook in "
            f"the settings ({settings.codebook}). Commands that read them need "
            f"`--codebook {last.name}@{last.hash}`.",
            soft_wrap=True,
        )
        return f"{last.name}@{last.hash}"
    return settings.codebook


def _print_extent(store: Store) -> None:
    counts = store.counts.texts()
    once, twice = store.counts.reviewed()
    labellable = counts.sentences - counts.boilerplate
    share = f" ({once / labellable:.1%})" if labellable else ""
    documents, sentences = counted(counts.documents, "document"), counted(labellable, "sentence")
    console.print(f"{store.name}: {documents}, {sentences} to label.")
    console.print(f"Reviewed by at least one annotator: {once}{share}; by two or more: {twice}.")


def _print_annotators(store: Store, today: str) -> None:
    found = store.counts.annotators(today=today)
    if not found:
        following = command("label", "--annotator", "YOUR_NAME", store=store.name)
        console.print(f"No annotations yet. Next: {following}", soft_wrap=True)
        return
    states = ("reviewed", "none", "skipped", "not a\nsentence")
    headings = ("annotator", *states, "with\nnote", "today", "re-\nserved", "median\ns", "last")
    rows = []
    for one in found:
        counts = (one.reviewed, one.none, one.skipped, one.not_a_sentence, one.noted, one.today, one.reserved)
        rows.append((one.annotator, *map(str, counts), number(one.seconds, 1), local_time(one.last)))
    console.print(table(headings, rows, align="l" + "r" * 9))
    if adjudicators := [one for one in found if one.adjudicated]:
        rows = [(one.annotator, str(one.adjudicated)) for one in adjudicators]
        console.print(table(("adjudicator", "adjudicated"), rows))


def _print_labels(store: Store) -> None:
    sets = store.counts.label_sets()
    total = sum(sets.values())
    if not total:
        return
    counts: Counter[str] = Counter()
    for labels, n in sets.items():
        # An annotation counts for each of its labels, so the shares can add up to more than 1.
        counts.update(dict.fromkeys(labels or ("none",), n))
    ordered = sorted(counts.items(), key=lambda count: (count[0] == "none", -count[1]))
    rows = ((label, str(n), f"{n / total:.1%}") for label, n in ordered)
    console.print(table(("label", "annotations", "share"), rows))


def _print_strategies(store: Store) -> None:
    rows = [
        (
            _EXPLAINED.get(one.strategy, one.strategy),
            *map(str, (one.drawn, one.reviewed, one.skipped, one.not_a_sentence)),
        )
        for one in store.counts.strategies()
    ]
    if rows:
        console.print(table(("drawn by", "sentences", "reviewed", "skipped", "not a\nsentence"), rows))


# -- what waits


def _print_waiting(store: Store, settings: Settings, codebook: str) -> None:
    """Print the open draws, the sentences that wait for another coder, the skipped sentences, and the drafts."""
    from labels.sampling.exhausted import continuing, drafted

    for draw, following in continuing(store, codebook):
        _print_line(f"Open draw of {draw.annotator} ({draw.option}): {len(draw.pending)} undecided", following)
    coders = settings.team.coders_per_sentence
    label = partial(command, "label", store=settings.store, codebook=codebook)
    anyone = ("--annotator", "YOUR_NAME", "--strategy")
    if waiting := len(store.draws.overlap_candidates(coders=coders)):
        which = "a second coder" if coders == 2 else f"another of {coders} coders"
        _print_line(f"Waiting for {which}: {counted(waiting, 'sentence')}", label(*anyone, "overlap"))
    if skipped := len(store.waiting.skipped()):
        _print_line(f"Skipped and not decided by anyone: {counted(skipped, 'sentence')}", label(*anyone, "skipped"))
    for annotator, drafts, following in drafted(store, codebook):
        what = f"Choices and notes that {annotator} has not confirmed: {counted(drafts, 'sentence')}"
        _print_line(what, following)


def _print_line(what: str, following: str) -> None:
    console.print(f"{what}. Next: {following}", soft_wrap=True)


def _print_disputes(store: Store, given: Codebook | None, settings: Settings, reference: str) -> None:
    """Print the number of disputes under a codebook, given or `reference`."""
    shared = store.events.shared_sentences()
    if not shared:
        return
    from labels.gold import resolve

    events, history = store.events.all(sentence_ids=shared), store.codebooks.history()
    try:
        used = given or store.codebooks.in_use(reference)[0]
        found = resolve(events, used, history)
    except CodebookError:
        if given is not None:
            raise
        console.print("Disputes: not counted, because the codebook in use cannot read all decisions. Add --codebook.")
        return
    if found.disputed:
        following = command("adjudicate", "--annotator", "YOUR_NAME", store=settings.store, codebook=reference)
        _print_line(f"Disputed: {counted(len(found.disputed), 'sentence')}", following)


def _print_relabelling(store: Store, codebook: str) -> None:
    waiting = {entry.sentence_id for entry in store.relabelling.waiting()}
    if waiting:
        from labels.store.codebook_migration import awaited_codebooks

        awaited = next(iter(awaited_codebooks(store, waiting)), codebook)
        following = relabel_command(store=store.name, codebook=awaited)
        console.print(f"To be labelled again: {counted(len(waiting), 'sentence')}. Next: {following}", soft_wrap=True)


def _print_scores(store: Store) -> None:
    for model in store.scores.models():
        missing = store.scores.count_unscored(model.id)
        unscored = f"; {counted(missing, 'sentence')} without a score." if missing else "."
        console.print(f"Scores by {model.kind} {model.id}{unscored}")
