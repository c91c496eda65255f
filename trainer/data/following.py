"""A frozen split applied to data that have grown since: new examples follow the examples that the manifest divides.

Validation and test stay as they are, so that figures of runs on one manifest can be compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labels.errors import ExperimentError, counted
from labels.records import Example
from trainer.config.sections import SplitSection
from trainer.data.splits import PARTS, Parts, Split, apply_split, by_any_id, group_examples, missing_examples

_SHOWN = 5
"""Number of ids in a note."""


@dataclass(frozen=True)
class Followed:
    """The parts of a manifest with the examples that follow them.

    `added` is the number of new examples in train. `held_out` counts, by part, the new examples that belong to the
    groups of validation or test and therefore to no part. `vanished` has the ids of the manifest's examples that are
    not in the data, by part.
    """

    parts: Parts
    added: int
    held_out: Mapping[str, int]
    vanished: Mapping[str, tuple[str, ...]]

    def notes(self, reasons: Mapping[str, str]) -> Iterator[str]:
        """Yield what differs from the manifest, in words.

        Args:
            reasons: the reason for which an example has vanished, by id.
        """
        if gone := [(part, one) for part, ids in self.vanished.items() for one in ids]:
            named = [f"{one} of {part} ({reasons.get(one, 'not in the data')})" for part, one in gone[:_SHOWN]]
            more = [f"{len(gone) - _SHOWN} more"] * (len(gone) > _SHOWN)
            are = counted(len(gone), "example of the split manifest is", "examples of the split manifest are")
            yield f"{are} left out: {', '.join([*named, *more])}"
        if self.added:
            yield f"{counted(self.added, 'new example was', 'new examples were')} added to train"
        if any(self.held_out.values()):
            where = ", ".join(f"{count} of {part}" for part, count in self.held_out.items() if count)
            yield (
                f"{counted(sum(self.held_out.values()), 'new example was', 'new examples were')} left out: their "
                f"documents, or near-duplicates of their sentences, belong to other parts ({where})"
            )


def manifest_parts(
    section: SplitSection, examples: Sequence[Example], aliases: Mapping[str, str], reasons: Mapping[str, str]
) -> tuple[Parts, list[str]]:
    """Divide examples by the manifest of an experiment; returns the parts, and notes on differences from the manifest.

    Args:
        reasons: see `Followed.notes`.

    Raises:
        ExperimentError: the manifest cannot be read, or was made from other data.
    """
    split = Split.load(Path(section.manifest))
    if split.folds:
        raise ExperimentError(
            f"{section.manifest}: this manifest has the folds of a cross-validation, but no test part. Remove "
            "`split.manifest`, and set the keys of [split] and the seed as in that run: they give the same folds."
        )
    if section.new_rows == "ignore":
        return apply_split(split, examples, section.manifest, aliases), []
    followed = follow_split(split, examples, section.manifest, aliases)
    return followed.parts, list(followed.notes(reasons))


def follow_split(
    split: Split, examples: Sequence[Example], place: str, aliases: Mapping[str, str] | None = None
) -> Followed:
    """Apply a manifest to data that may have grown, and may lack some of the manifest's examples.

    A new example follows its group: the documents connected with its document by near-duplicate sentences. It joins
    train if the group has no example of validation or test; otherwise it joins no part. Examples of the manifest keep
    their part even if new sentences connect them with another part.

    Args:
        place: name of the manifest in messages.
        aliases: other id -> id of an example, for a manifest with ids that an earlier release gave.

    Raises:
        ExperimentError: more than half of a part of the manifest is not in the data: these are other data.
    """
    aliases = aliases or {}
    by_id = by_any_id(examples, aliases)
    vanished = {part: tuple(one for one in ids if one not in by_id) for part, ids in split.parts.items()}
    for part, gone in vanished.items():
        if 2 * len(gone) > len(getattr(split, part)):
            raise missing_examples(gone, part, place)
    kept = Split(*(tuple(one for one in getattr(split, part) if one in by_id) for part in PARTS))
    parts = apply_split(kept, examples, place, aliases)
    new = _new_examples(split, examples, aliases)
    home = _part_of_group([*(one for own in parts.values() for one in own), *new], kept)
    parts["train"] += [example for example, part in zip(new, home, strict=True) if part == "train"]
    found = Counter(home)
    return Followed(parts, found["train"], {part: found[part] for part in PARTS[1:]}, vanished)


def _new_examples(split: Split, examples: Iterable[Example], aliases: Mapping[str, str]) -> list[Example]:
    """The examples that the manifest does not name under any of their ids."""
    named = set(split.ids)
    other = {identifier: alias for alias, identifier in aliases.items() if alias in named}
    named |= {aliases[one] for one in named if one in aliases}
    return [example for example in examples if example.id not in named and example.id not in other]


def _part_of_group(examples: Sequence[Example], split: Split) -> list[str]:
    """The part that each of the examples follows which come after the examples of the split."""
    divided = len(split.ids)
    groups = group_examples(examples, allow_large=True) if len(examples) > divided else []
    held: dict[int, str] = {}
    # From train to test: in a group with several parts, the part that must stay unknown to the model decides.
    starts = zip(PARTS, (0, len(split.train), len(split.train) + len(split.validation)), strict=True)
    for part, start in starts:
        held |= dict.fromkeys(groups[start : start + len(getattr(split, part))], part)
    return [held.get(group, "train") for group in groups[divided:]]
