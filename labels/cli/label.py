"""`communique label`: label sentences on the full screen, or line by line; look at one's decisions; end draws."""

from __future__ import annotations

from pathlib import Path

import typer

from labels.cli.labelling.label_options import (
    AlsoByOption,
    BlindOption,
    HostOption,
    LabelAnnotatorOption,
    LabelFilter,
    LabelKeysOption,
    MeasureOption,
    ModelOption,
    NoteFilter,
    OverlapOption,
    PlainOption,
    PlantedOption,
    PortOption,
    ReleaseFromOption,
    ReleaseOption,
    RetestAfterOption,
    RetestOption,
    ReviewOption,
    SearchFilter,
    SeedOption,
    ShareOption,
    SinceFilter,
    SizeOption,
    StateFilter,
    StrategyOption,
    SuggestOption,
    UnblindOption,
    WebOption,
)
from labels.cli.terminal import CodebookOption, StoreOption, opened_store
from labels.unicode import clean


def label_command(
    context: typer.Context,
    annotator: LabelAnnotatorOption = "",
    strategy: StrategyOption = None,
    size: SizeOption = None,
    overlap: OverlapOption = None,
    also_by: AlsoByOption = "",
    share: ShareOption = None,
    planted: PlantedOption = None,
    suggest: SuggestOption = False,
    blind: BlindOption = None,
    model: ModelOption = "",
    by: MeasureOption = "entropy",
    retest: RetestOption = False,
    retest_after: RetestAfterOption = 24,
    seed: SeedOption = 13,
    release: ReleaseOption = False,
    release_from: ReleaseFromOption = "",
    review: ReviewOption = False,
    label: LabelFilter = "",
    state: StateFilter = None,
    note: NoteFilter = False,
    search: SearchFilter = "",
    since: SinceFilter = "",
    unblind: UnblindOption = False,
    plain: PlainOption = False,
    web: WebOption = False,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8001,
    keys: LabelKeysOption = Path("communique-keys.json"),
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Label sentences one by one, one key per label; every key press is saved at once."""
    from labels.annotate.reviewing import Filters
    from labels.cli.labelling.draw_options import DrawOptions
    from labels.cli.labelling.drawn_sessions import Desk, label_draws, release_draws
    from labels.cli.labelling.review import check_review, review_decisions, utc_moment

    drawing = (strategy, size, overlap, clean(also_by), share, planted, suggest, blind, model, by, retest, retest_after)
    options, filters = DrawOptions(*drawing, seed), Filters(clean(label), state, note, clean(search), utc_moment(since))
    task = options.checked()
    check_review(filters, review=review, unblind=unblind, draws=options.draws)
    if web:
        from labels.cli.labelling.in_browser import WebOptions, label_in_browser

        label_in_browser(context, WebOptions(host, port, keys))
        return
    with opened_store(store, codebook) as (opened, book, settings):
        desk = Desk(opened, book, annotator, settings)
        if released := [annotator] * release + [clean(release_from)] * bool(release_from):
            release_draws(desk, released)
        elif review:
            review_decisions(opened, book, annotator, filters, unblind=unblind, plain=plain)
        else:
            label_draws(desk, options, task, plain=plain)
