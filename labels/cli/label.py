"""`communique label`: label sentences on the full screen, or line by line; look at one's decisions; end draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    SuggestedByArgument,
    SuggestOption,
    UnblindOption,
    WebOption,
)
from labels.cli.terminal import CodebookOption, StoreOption, opened_store
from labels.unicode import clean

if TYPE_CHECKING:
    from labels.annotate.reviewing import Filters
    from labels.cli.labelling.draw_options import DrawOptions, Task


def label_command(
    context: typer.Context,
    suggested_by: SuggestedByArgument = "",
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
    from labels.cli.labelling.drawn_sessions import Desk, label_draws, release_draws
    from labels.cli.labelling.review import review_decisions

    options, task, filters = _checked(context.params)
    if web:
        _label_in_browser(context, host, port, keys)
        return
    with opened_store(store, codebook) as (opened, book, settings):
        desk = Desk(opened, book, annotator, settings)
        if release or release_from:
            release_draws(desk, [annotator] * release + [clean(release_from)] * bool(release_from))
        elif review:
            review_decisions(opened, book, annotator, filters, unblind=unblind, plain=plain)
        else:
            label_draws(desk, options, task, plain=plain)


def _label_in_browser(context: typer.Context, host: str, port: int, keys: Path) -> None:
    # The server is imported only for this: it is an extra.
    from labels.cli.labelling.in_browser import WebOptions, label_in_browser

    label_in_browser(context, WebOptions(host, port, keys))


def _checked(given: Mapping[str, Any]) -> tuple[DrawOptions, Task, Filters]:
    """What to draw, and which decisions to review, from the options as given.

    Raises:
        InputError: options exclude each other, have no effect, or have an invalid value.
    """
    from labels.annotate.reviewing import Filters
    from labels.cli.labelling.draw_options import DrawOptions
    from labels.cli.labelling.review import check_review, utc_moment

    drawing = {field.name: given[field.name] for field in fields(DrawOptions)}
    drawing["model"] = _suggesting_model(given)
    options = DrawOptions(**drawing | {"also_by": clean(given["also_by"])})
    task = options.checked()
    words = (clean(given["label"]), given["state"], given["note"], clean(given["search"]))
    filters = Filters(*words, utc_moment(given["since"]))
    check_review(filters, review=given["review"], unblind=given["unblind"], draws=options.draws)
    return options, task, filters


def _suggesting_model(given: Mapping[str, Any]) -> str:
    """The value of --model, or the model coder named after --suggest.

    Raises:
        InputError: the name is not that of a model coder, or is given without --suggest or with another model.
    """
    from labels.errors import InputError
    from labels.gold import MODEL_CODER

    name: str = clean(given["suggested_by"])
    if not name:
        return str(given["model"])
    if not (name.startswith(MODEL_CODER) and given["suggest"] and given["model"] in ("", name)):
        raise InputError(
            f"'{name}' is unexpected here. Give the name of a model coder, such as {MODEL_CODER}NAME, only after "
            "--suggest, and without a different --model."
        )
    return name
