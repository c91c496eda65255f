"""The identity of a model coder: its name, model, prompt and examples, so that it can be asked again later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from random import Random
from typing import Any

from labels.codebook.schema import Codebook
from labels.environment.settings import LanguageModel
from labels.errors import InputError
from labels.gold import resolve
from labels.records import RANDOM_STRATEGIES
from labels.sampling.model_coders import ModelCoder
from labels.store import Store
from trainer.active.llm.coder_prompt import Prompt, Shot
from trainer.data.splits import Split


@dataclass(frozen=True)
class Coder:
    """A model coder with its settings and prompt; `name` begins with `llm:`."""

    name: str
    settings: LanguageModel
    prompt: Prompt

    @property
    def identity(self) -> dict[str, Any]:
        """What a name identifies: the model, the hash of the prompt, and the parameters of requests."""
        own, prompt = self.settings, self.prompt
        parameters: dict[str, Any] = {"temperature": own.temperature, "seed": own.seed, "short": prompt.short}
        parameters |= {"answer": prompt.form, "probabilities": own.probabilities}
        if own.probabilities == "samples":
            parameters["samples"] = own.samples
        if prompt.shots:
            parameters["shots"] = [shot.sentence_id for shot in prompt.shots]
        return {"model": own.model, "prompt": prompt.hash, "parameters": parameters}

    def refuse_another(self, known: ModelCoder) -> None:
        """Check that the answers under this name are those of this model with this prompt.

        Raises:
            InputError: they are not.
        """
        facts, own = known.facts, self.identity
        for name in ("model", "prompt", "parameters"):
            if facts.get(name) != own[name]:
                what = "different parameters" if name == "parameters" else f"a different {name}"
                raise InputError(
                    f"{self.name} has answers with {what} ({_shown(facts.get(name), own[name])}). Each name "
                    "identifies one model, prompt and set of parameters. Choose another name with --name."
                )


def _shown(before: Any, after: Any) -> str:
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        return ", ".join(f"{name}: {before.get(name)}, now {after.get(name)}" for name in names)
    return f"{before}, now {after}"


def known_again(store: Store, codebook: Codebook, known: ModelCoder, settings: LanguageModel) -> Coder:
    """Return the coder that gave recorded answers, to ask it again: its model, prompt and parameters.

    The address is that of the current settings.

    Raises:
        InputError: its prompt cannot be reproduced, because the codebook or an example's labels have changed.
    """
    facts, parameters = known.facts, known.facts.get("parameters", {})
    own = replace(
        settings,
        model=str(facts.get("model", "")),
        temperature=parameters.get("temperature", settings.temperature),
        seed=parameters.get("seed", settings.seed),
        probabilities=parameters.get("probabilities", settings.probabilities),
        samples=parameters.get("samples", settings.samples),
    )
    prompt = Prompt(
        codebook,
        bool(parameters.get("short")),
        parameters.get("answer", settings.answer),
        each=own.probabilities == "logprobs",
        shots=known_shots(store, codebook, known),
    )
    coder = Coder(known.name, own, prompt)
    coder.refuse_another(known)
    return coder


# -- examples in the prompt


def few_shots(store: Store, codebook: Codebook, number: int, split: Split, seed: int) -> tuple[Shot, ...]:
    """Choose coded sentences to show in the prompt: from the train part of a split, and from no probability sample.

    Labels are used in turn, so that each has an example if one exists. Sentences that were drawn with a known
    probability (random draws, audits) may be needed for an estimate or an audit, and are never shown.

    Raises:
        InputError: there is no such sentence.
    """
    events = store.events.all()
    gold = resolve(events, codebook, store.codebooks.history()).gold
    sampled = {item.sentence_id for draw in store.designs.samples() for item in draw.items}
    sampled |= {
        one.sentence_id for one in events if one.inclusion_probability is not None or one.strategy in RANDOM_STRATEGIES
    }
    aliases = store.documents.resolve(split.train)
    train = {aliases.get(one, one) for one in split.train}
    ids = sorted(set(gold) & train - sampled)
    Random(seed).shuffle(ids)
    if not ids:
        raise InputError(
            f"{store.name}: no sentence in the train part of the split can be used as an example: each lacks gold "
            "labels, or belongs to a random draw or an audit. Label others, for instance with --strategy search, or "
            "omit --shots."
        )
    chosen = _in_turns(ids, gold, codebook, number)
    # Small models repeat what they saw last: no label, and not "none", should always stand at the end.
    Random(f"{seed} order").shuffle(chosen)
    texts = {one.id: one.text for one in store.documents.sentences(chosen)}
    return tuple(Shot(one, texts[one], gold[one]) for one in chosen)


def known_shots(store: Store, codebook: Codebook, known: ModelCoder) -> tuple[Shot, ...]:
    """Return the coded sentences in the prompt of a known coder, with their current labels."""
    ids = known.facts.get("parameters", {}).get("shots", [])
    gold = resolve(store.events.all(sentence_ids=ids), codebook, store.codebooks.history()).gold if ids else {}
    texts = {one.id: one.text for one in store.documents.sentences(ids)} if ids else {}
    return tuple(Shot(one, texts[one], gold[one]) for one in ids if one in texts and one in gold)


def _in_turns(ids: Sequence[str], gold: Mapping[str, tuple[str, ...]], codebook: Codebook, number: int) -> list[str]:
    queues = [[one for one in ids if label in gold[one]] for label in codebook.label_names]
    queues.append([one for one in ids if not gold[one]])
    chosen: list[str] = []
    turns = cycle([queue for queue in queues if queue])
    while len(chosen) < min(number, len(ids)):
        queue = next(turns)
        chosen += [one for one in queue if one not in chosen][:1]
    return chosen
