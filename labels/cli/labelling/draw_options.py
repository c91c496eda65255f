"""The options of `communique label` that say what to draw, checked together and made into a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from labels.errors import InputError

if TYPE_CHECKING:
    from labels.codebook.schema import Codebook
    from labels.environment.settings import Team
    from labels.sampling.drawing import DrawRequest
    from labels.store import ScoringModel, Store

BLIND = 0.2
"""The default share of withheld suggestions."""
SEED, RETEST_AFTER = 13, 24.0


class Task(NamedTuple):
    """The strategy of a draw, and its search words, annotator or label."""

    strategy: str
    query: str

    @property
    def option(self) -> str:
        """The value of `--strategy`."""
        return f"{self.strategy} {self.query}".strip()


@dataclass(frozen=True)
class DrawOptions:
    """The options as given; None, empty and false values were left out."""

    strategy: str | None = None
    size: int | None = None
    overlap: float | None = None
    also_by: str = ""
    share: float | None = None
    planted: float | None = None
    suggest: bool = False
    blind: float | None = None
    model: str = ""
    by: Literal["entropy", "margin"] = "entropy"
    retest: bool = False
    retest_after: float = RETEST_AFTER
    seed: int = SEED

    @property
    def draws(self) -> bool:
        """Whether an option asks for a draw."""
        return bool(self.strategy or self.also_by or self.retest or self.suggest or self.size)

    @property
    def of_new_draws(self) -> list[str]:
        """The given options that only matter when sentences are drawn, and not while a draw is open."""
        given = {
            "--size": self.size is not None,
            "--share": self.share is not None,
            "--overlap": self.overlap is not None,
            "--planted": self.planted is not None,
            "--by": self.by != "entropy",
            "--retest-after": self.retest_after != RETEST_AFTER,
            "--seed": self.seed != SEED,
        }
        return [option for option, is_given in given.items() if is_given]

    def checked(self) -> Task:
        """The task, if the options can be combined.

        Raises:
            InputError: two options exclude each other, or an option has no effect without another.
        """
        task = self._task()
        if self.share is not None and task.strategy != "also-by":
            raise InputError(
                "--share is a share of another annotator's sentences. Add --also-by NAME, or remove --share."
            )
        if self.share == 0:
            raise InputError("--share 0 draws nothing. Give a share greater than 0, such as 0.3, or remove --share.")
        if self.blind is not None and not self.suggest:
            raise InputError(
                "--blind withholds suggestions, but --suggest is missing. Add --suggest, or remove --blind."
            )
        if self.share is not None and self.size is not None:
            raise InputError("--share and --size both set the size of the draw. Remove one of them.")
        return task

    def _task(self) -> Task:
        same = {
            "--retest": "retest" if self.retest else "",
            "--also-by": f"also-by {self.also_by}" if self.also_by else "",
        }
        chosen = [own for own in (self.strategy, *same.values()) if own] or ["random"]
        kind, _, query = chosen[0].strip().partition(" ")
        for option, own in same.items():
            if own and own != f"{kind} {query}".strip():
                other = f"--strategy {kind}" if self.strategy else f"--{kind}"
                raise InputError(
                    f"{option} means --strategy {own.partition(' ')[0]} and cannot be combined with {other}. "
                    "Remove one of them."
                )
        return Task(kind, query.strip())

    def chosen_model(self, task: Task, store: Store, codebook: Codebook) -> ScoringModel | None:
        """The model that suggests labels or chooses sentences; None if none is needed.

        Raises:
            InputError: see `labels.sampling.suggestions.choose_model`.
        """
        from labels.sampling.strategies import SCORED
        from labels.sampling.suggestions import choose_model

        # Without scores, an audit is a simple random sample.
        scored = task.strategy in SCORED and (task.strategy != "audit" or bool(self.model or store.scores.models()))
        return choose_model(store, codebook, self.model) if self.suggest or scored else None

    def request(self, task: Task, team: Team, model: ScoringModel | None) -> DrawRequest:
        """The draw to make, with the team's settings where an option was left out."""
        from labels.sampling.drawing import DrawRequest
        from labels.sampling.planting import PLANTABLE
        from labels.sampling.strategies import SCORED

        kind = task.strategy
        return DrawRequest(
            strategy=kind,
            size=self.size or 0,
            seed=self.seed,
            share=self.share,
            coders=team.coders_per_sentence,
            overlap=(team.overlap if kind == "random" else 0.0) if self.overlap is None else self.overlap,
            model_id=model.id if model and kind in SCORED else "",
            by=self.by,
            query=task.query,
            retest_after=timedelta(hours=self.retest_after),
            planted=(team.planted if kind in PLANTABLE else 0.0) if self.planted is None else self.planted,
            must_plant=self.planted is not None,
            experts=team.experts,
        )
