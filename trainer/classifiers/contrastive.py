"""A sentence encoder tuned by supervised contrast over whole batches, with logistic regression on its vectors: for few
labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from labels.codebook import Codebook
from labels.progress import Progress
from labels.records import Example
from trainer.classifiers.base import label_matrix
from trainer.classifiers.linear import build_regression, fit_regression, linear_layer, regression_targets
from trainer.classifiers.transformer import TransformerClassifier
from trainer.config.models import ContrastiveSection
from trainer.embeddings import Vectors
from trainer.errors import DivergedError

if TYPE_CHECKING:
    import torch


class ContrastiveClassifier(TransformerClassifier):
    """Contrastive tuning of all layers, then L2 logistic regression on vectors of length 1.

    Each step encodes a batch of P labels x K examples, and as many without a label, once; every pair in it counts.
    Steps grow with the number of examples, up to `max_steps`. The regression is kept as the network's linear head.
    """

    def __init__(
        self, codebook: Codebook, section: ContrastiveSection, seed: int, progress: Progress | None = None
    ) -> None:
        super().__init__(codebook, section, seed, progress)
        self._section = section
        self.steps_ = 0

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Tune the encoder, fit the head; `validation` is not used.

        Where no two examples share a label there is nothing to contrast, and the encoder stays as it was.

        Raises:
            EncoderError: the encoder cannot be found or opened.
            ExperimentError: the examples are of one class only, or `keep_layers` exceeds the encoder's.
            DivergedError: the loss became infinite or not a number.
        """
        import torch

        targets = regression_targets(examples, self.labels, exclusive=self._exclusive)
        torch.manual_seed(self._seed)
        self._open_encoder(normalise=True)
        network = self._fitted_network()
        network.set_encoder_dropout(self._section.dropout)
        network.to("cuda" if torch.cuda.is_available() else "cpu")
        gold = label_matrix(examples, self.labels)
        self.steps_ = self._n_steps(gold)
        self._tune([example.text for example in examples], gold)
        self._fit_head(self.embed([example.text for example in examples]), targets)
        return self

    def _n_steps(self, gold: NDArray[np.bool_]) -> int:
        """`passes` over the examples within the limits; 0 where there is no pair."""
        if not (gold.sum(axis=0) > 1).any():
            return 0
        section = self._section
        wanted = math.ceil(section.passes * len(gold) / section.batch_size)
        return min(max(wanted, section.min_steps), section.max_steps)

    def _tune(self, texts: Sequence[str], gold: NDArray[np.bool_]) -> None:
        import torch

        from trainer.classifiers.contrast import contrastive_loss, pull_weights

        network, section = self._fitted_network(), self._section
        optimizer, schedule = self._optimizer()
        network.train()
        for step, (rows, inputs) in enumerate(self._batches(texts, gold), 1):
            weights = torch.from_numpy(pull_weights(gold[rows])).to(network.head.weight.device)
            loss = contrastive_loss(network.pooled(**inputs), weights, section.temperature)
            if not bool(torch.isfinite(loss)):
                raise DivergedError(step, self.steps_)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            torch.nn.utils.clip_grad_norm_(network.encoder.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if self._progress:
                self._progress(step, self.steps_)

    def _batches(
        self, texts: Sequence[str], gold: NDArray[np.bool_]
    ) -> Iterator[tuple[NDArray[np.int64], dict[str, torch.Tensor]]]:
        """Rows and encoder inputs of each step."""
        from trainer.classifiers.contrast import BalancedBatches

        section = self._section
        tokens = self.tokenizer_(list(texts), truncation=True, max_length=self.max_length_)["input_ids"]
        batches = BalancedBatches(gold, size=section.batch_size, per_label=section.per_label, seed=self._seed)
        device = self._fitted_network().head.weight.device
        for rows in batches.take(self.steps_):
            padded = self.tokenizer_.pad({"input_ids": [tokens[row] for row in rows]}, return_tensors="pt")
            yield rows, {name: padded[name].to(device) for name in ("input_ids", "attention_mask")}

    def _optimizer(self) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
        """AdamW over the encoder; the rate rises over the warm-up and falls to 0 in a line."""
        import torch
        from transformers import get_linear_schedule_with_warmup

        section = self._section
        trained = [parameter for parameter in self._fitted_network().encoder.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=section.learning_rate, weight_decay=section.weight_decay, fused=True)
        warmup = math.ceil(section.warmup * self.steps_)
        return optimizer, get_linear_schedule_with_warmup(optimizer, warmup, max(self.steps_, 1))

    def _fit_head(self, vectors: Vectors, targets: NDArray[Any]) -> None:
        """Logistic regression on the tuned vectors, written into the network's linear head."""
        import torch

        if not np.isfinite(vectors).all():
            raise DivergedError(self.steps_, self.steps_)
        regression = build_regression(
            exclusive=self._exclusive, C=self._section.C, class_weight=self._section.class_weight, seed=self._seed
        )
        fit_regression(regression, vectors, targets)
        weight, bias = linear_layer(regression, self._n_outputs, vectors.shape[1], exclusive=self._exclusive)
        head = self._fitted_network().head
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(weight))
            head.bias.copy_(torch.from_numpy(bias))

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"steps": self.steps_}

    @classmethod
    def _section_of(cls, settings: dict[str, Any]) -> ContrastiveSection:
        return ContrastiveSection(kind="contrastive", encoder=settings["encoder"])

    def _restore(self, settings: dict[str, Any]) -> None:
        self.steps_ = int(settings["steps"])

    def describe(self) -> dict[str, Any]:
        """Encoder, pooling, length limit, parameters, and the steps of tuning."""
        return super().describe() | {"steps": self.steps_}
