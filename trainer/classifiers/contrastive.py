"""Classify with few labelled examples: tune a sentence encoder contrastively, then fit logistic regression.

`BalancedBatches` chooses the examples of a batch, `pull_weights` decides which of them attract each other, and
`contrastive_loss` computes the loss. Source: Khosla et al. (2020), "Supervised Contrastive Learning".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from labels.environment.progress import progress_stage, report_progress
from labels.errors import DivergedError
from labels.records import Example
from labels.unicode import undivided
from trainer.calibration.calibration import Bools
from trainer.classifiers.base import fitted, label_matrix
from trainer.classifiers.pseudo_labels import label_sets, measure_gain, sample_pool, surest
from trainer.classifiers.transformer import TransformerClassifier
from trainer.config.models import ContrastiveSection
from trainer.encoders.embeddings import Embedder, best_device, cached_encode, normalised

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainer.classifiers.network import Network


Indices = NDArray[np.int64]

FEWEST_POSITIVES = 2
"""Minimum number of examples per label in a batch: a single example would have no positive to move towards."""


class BalancedBatches:
    """Batches of K examples for each of P labels, plus at most P x K examples without a label.

    There is one shuffled pack of labels, one pack of examples per label, and one pack of examples without a label. A
    pack is shuffled again when it is empty, so all its items appear equally often. A batch never contains an example
    twice: if an example is dealt for two labels, the batch is one example smaller.

    Args:
        gold: (n, labels). Labels without examples are ignored.
        size: maximum number of examples in a batch; at least 4.
        per_label: K, if there are enough labels to fill a batch.
        seed: seed for shuffling.
    """

    def __init__(self, gold: Bools, *, size: int, per_label: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        labelled = [np.flatnonzero(column) for column in gold.T if column.any()]
        without = np.flatnonzero(~gold.any(axis=1))
        self._n_without = min(len(without), size // 2) if labelled else min(len(without), size)
        # At most half of a batch has no label: examples without a label attract no others and only repel.
        room = size - self._n_without
        self._n_labels = max(1, min(len(labelled), room // max(per_label, FEWEST_POSITIVES)))
        self._per_label = max(FEWEST_POSITIVES, room // self._n_labels)
        self._labels = _Pack(np.arange(len(labelled)), rng)
        self._examples = [_Pack(rows, rng) for rows in labelled]
        self._without = _Pack(without, rng)

    def take(self, n: int) -> Iterator[Indices]:
        """Yield the next `n` batches, each as sorted row indices into `gold`."""
        for _ in range(n):
            labels = self._labels.deal(self._n_labels)
            rows = {row for label in labels for row in self._examples[label].deal(self._per_label)}
            # Examples with several labels make the batch smaller; keep the balance with examples without a label.
            n_without = min(self._n_without, len(rows)) if rows else self._n_without
            yield np.array(sorted(rows | set(self._without.deal(n_without))), dtype=np.int64)


class _Pack:
    """A pack of rows that are dealt in random order. Every row is dealt once before any row is dealt again."""

    def __init__(self, rows: Indices, rng: np.random.Generator) -> None:
        self._rows = rows
        self._rng = rng
        self._left: list[int] = []

    def deal(self, n: int) -> Sequence[int]:
        """Deal `n` different rows, or all rows if there are fewer."""
        # The pack may run out within one hand: the remaining rows are dealt, then the pack is shuffled again.
        n = min(n, len(self._rows))
        dealt, self._left = self._left[:n], self._left[n:]
        if len(dealt) < n:
            fresh = [int(row) for row in self._rng.permutation(self._rows)]
            # Rows that are already in this hand stay in the pack for a later hand.
            more = [row for row in fresh if row not in dealt][: n - len(dealt)]
            self._left = [row for row in fresh if row not in more]
            dealt = dealt + more
        return dealt


def pull_weights(gold: Bools) -> NDArray[np.float32]:
    """Return the (n, n) attraction of each pair of rows: the Jaccard similarity of their label sets, 0 on the diagonal.

    Rows without a label have weight 0 with all rows: two rows are not similar just because both lack a label.
    """
    rows = gold.astype(np.float32)
    shared = rows @ rows.T
    size = rows.sum(axis=1)
    either = size[:, None] + size[None, :] - shared
    weights = np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights, dtype=np.float32)


def contrastive_loss(vectors: Tensor, weights: Tensor, temperature: float) -> Tensor:
    """Compute the cross-entropy of identifying the positives of each anchor in its batch, weighted and averaged.

    Args:
        vectors: (n, dimensions), unit length.
        weights: (n, n) from `pull_weights`. A row of zeros is not an anchor, but its vector still repels others.
        temperature: above 0; smaller values give more weight to the nearest negatives.

    Returns:
        A scalar; 0 if no row has a positive.
    """
    import torch

    similarities = vectors @ vectors.T / temperature
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    # -inf removes self-similarity from the softmax; the 0 afterwards avoids NaN from weight 0 times -inf.
    logs = torch.log_softmax(similarities.masked_fill(itself, -torch.inf), dim=1).masked_fill(itself, 0.0)
    pull = weights.sum(dim=1)
    anchors = pull > 0
    if not bool(anchors.any()):
        return vectors.sum() * 0.0  # not a plain 0, which `backward` would refuse
    per_anchor = -(weights * logs).sum(dim=1)[anchors] / pull[anchors]
    return per_anchor.mean()


class ContrastiveClassifier(TransformerClassifier):
    """Tunes all layers of an encoder contrastively, then fits L2 logistic regression to unit-length vectors.

    Each step encodes one batch from `BalancedBatches` once and uses every pair in the batch. The number of steps grows
    with the number of examples, up to `max_steps`. The regression becomes the linear head of the network.
    """

    _kind = "contrastive"
    _section: ContrastiveSection
    unlabelled: Sequence[str] = ()

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Tune the encoder, then fit the head; `validation` is not used.

        If no two examples share a label, there is nothing to contrast, and the encoder is left unchanged. With
        `unlabelled` texts, the most certain of them are labelled by `pseudo_labels`, and all is fitted again on both.

        Raises:
            EncoderError: the encoder cannot be found or opened.
            ExperimentError: all examples are of one class, or `keep_layers` exceeds the encoder's number of layers.
            DivergedError: the loss became infinite or NaN.
        """
        self._fit_once(examples)
        if self.unlabelled and (more := self._labelled_pool(examples)):
            self._fit_once([*examples, *more])
        return self

    def _labelled_pool(self, examples: Sequence[Example]) -> list[Example]:
        """Label the most certain unlabelled texts; none if cross-validated accuracy on the examples falls."""
        texts, pool = [example.text for example in examples], sample_pool(self.unlabelled, self._seed)
        sets, classes = label_sets(examples)
        # The tuned encoder has learned the examples, so only the plain one can tell whether spreading labels is right.
        name, pooling = self._section.encoder, self._section.pooling
        plain = Embedder(name, pooling=pooling, max_length=self._section.max_length)
        with progress_stage("Unlabelled"):
            vectors = cached_encode(plain, [*texts, *pool])
            before, after = vectors[: len(texts)], vectors[len(texts) :]
            gain = measure_gain(before, classes, after, C=self._section.C, seed=self._seed)
            figures = f"cross-validated accuracy {gain.alone:.3f} without them, {gain.with_pool:.3f} with them"
            if gain.is_loss:
                self.notes += (f"unlabelled texts were not used: {figures}",)
                return []
            rows, said = surest(normalised(self.embed(texts)), classes, normalised(self.embed(pool)))
        self.notes += (f"train also has {len(rows)} of {len(pool)} unlabelled texts, labelled by the model: {figures}",)
        found = zip(rows.tolist(), said.tolist(), strict=True)
        return [Example(f"unlabelled-{row}", f"unlabelled-{row}", pool[row], sets[number]) for row, number in found]

    def _fit_once(self, examples: Sequence[Example]) -> None:
        """Tune a new encoder, then fit the head."""
        import torch

        targets, gold = self._targets(examples), label_matrix(examples, self.labels)
        texts = [example.text for example in examples]
        torch.manual_seed(self._seed)
        network = self._open_encoder(normalise=True).to(best_device())
        steps = self._n_steps(gold)
        self.settings_ = fitted(self.settings_).model_copy(update={"steps": steps})
        self._tune(network, texts, gold, steps)
        # Encode each example again, without dropout: the head is fitted to the vectors of the tuned encoder.
        vectors = self.embed(texts)
        if not np.isfinite(vectors).all():
            raise DivergedError(steps, steps)
        network.set_head(self._fit_layer(vectors, targets, examples))

    def _n_steps(self, gold: Bools) -> int:
        """Return the number of steps for `passes` over the examples, limited; 0 if no two examples share a label."""
        if not (gold.sum(axis=0) > 1).any():
            return 0
        section = self._section
        wanted = math.ceil(section.passes * len(gold) / section.batch_size)
        return min(max(wanted, section.min_steps), section.max_steps)

    def _tune(self, network: Network, texts: Sequence[str], gold: Bools, steps: int) -> None:
        """Train the encoder in batches of several labels."""
        import torch

        section = self._section
        optimizer, schedule = self._optimizer(network, steps)
        device = network.head.weight.device
        tokens = self.tokenizer_(list(map(undivided, texts)), truncation=True, max_length=self.max_length_)["input_ids"]
        batches = BalancedBatches(gold, size=section.batch_size, per_label=section.per_label, seed=self._seed)
        network.train()  # `embed` switches back to evaluation mode
        for step, rows in enumerate(batches.take(steps), 1):
            padded = self.tokenizer_.pad({"input_ids": [tokens[row] for row in rows]}, return_tensors="pt")
            inputs = {name: padded[name].to(device) for name in ("input_ids", "attention_mask")}
            weights = torch.from_numpy(pull_weights(gold[rows])).to(device)
            loss = contrastive_loss(network.pooled(**inputs), weights, section.temperature)
            if not bool(torch.isfinite(loss)):
                raise DivergedError(step, steps)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            # With few labels gradients are noisy; one bad batch should not ruin the encoder.
            torch.nn.utils.clip_grad_norm_(network.encoder.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            report_progress("Training", step, steps)

    def _optimizer(
        self, network: Network, steps: int
    ) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
        """Make AdamW for the encoder, with a learning rate that rises during warm-up and then falls linearly to 0."""
        import torch
        from transformers import get_linear_schedule_with_warmup

        section = self._section
        trained = [parameter for parameter in network.encoder.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=section.learning_rate, weight_decay=section.weight_decay, fused=True)
        warmup = math.ceil(section.warmup * steps)
        return optimizer, get_linear_schedule_with_warmup(optimizer, warmup, max(steps, 1))

    def describe(self) -> dict[str, Any]:
        """Return encoder, pooling, length limit, number of parameters, and number of tuning steps."""
        return super().describe() | {"steps": fitted(self.settings_).steps}
