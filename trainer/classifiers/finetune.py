"""A transformer encoder with a linear head, all layers trained by transformers' `Trainer`."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from labels.errors import DivergedError, ExperimentError
from labels.records import Example
from trainer.classifiers.base import class_indices, fitted, label_matrix, refuse_one_class
from trainer.classifiers.transformer import TransformerClassifier
from trainer.config.models import FinetuneSection
from trainer.encoders.encoder import encoder_digest, find_encoder
from trainer.environment import world_size

_OUT_OF_MEMORY = (
    "out of memory with {n} sentences at once. Lower model.batch_size and raise model.gradient_accumulation as much, "
    "lower model.max_length, or set model.activation_checkpointing = true."
)


class FinetuneClassifier(TransformerClassifier):
    """Pooled encoder output -> dropout -> linear -> sigmoid for each label, or softmax over exclusive classes.

    Mini-batches of similar length with dynamic padding; AdamW with separate learning rates for the head and the layers,
    lower the further a layer is from the head; rare labels weigh more, up to `positive_weight`; after each epoch the
    loss on validation decides which checkpoint is kept and when to stop. With `lora_rank`, adapters are trained in
    place of the encoder's weights and merged into them afterwards.

    Attributes:
        checkpoints: a folder from which an interrupted training of the same experiment on the same examples resumes,
            with the same result; None for a temporary one. The caller deletes it when the model is saved.
        notes: what the report should say about the training.
    """

    distributed = True
    stops_early = True
    checkpoints: Path | None = None
    _kind = "finetune"
    _section: FinetuneSection

    @property
    def best_epoch_(self) -> float:
        """The epoch whose weights were kept."""
        return fitted(self.settings_).best_epoch

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Train; the checkpoint that is best on `validation` is kept.

        If memory runs out, batches are halved and their gradients accumulated, and `notes` says so; a distributed
        training, whose processes would have to agree on that, fails instead.

        Raises:
            EncoderError: the encoder cannot be found or opened.
            ExperimentError: there is no validation example to stop by, the train examples are of one class only,
                `keep_layers` exceeds the encoder's, the encoder or the codebook does not allow a setting, peft is not
                installed though `lora_rank` needs it, or memory does not suffice for one sentence.
            DivergedError: the loss became infinite or not a number.
        """
        if not validation:
            raise ExperimentError("finetune needs validation examples to stop by. Give data.validation, or more data.")
        if self._exclusive and self._section.loss == "asymmetric":
            raise ExperimentError(
                'model.loss = "asymmetric" is for codebooks whose labels go together, and this one is exclusive. '
                'Use "cross_entropy".'
            )
        refuse_one_class(examples, self.labels, exclusive=self._exclusive)
        with self._checkpoint_folder(examples, validation) as folder:
            best_epoch = self._train_as_memory_allows(examples, validation, folder)
        self.settings_ = fitted(self.settings_).model_copy(update={"best_epoch": best_epoch})
        return self

    @contextmanager
    def _checkpoint_folder(self, examples: Sequence[Example], validation: Sequence[Example]) -> Iterator[Path]:
        if self.checkpoints is None:
            with tempfile.TemporaryDirectory(prefix="communique-") as temporary:
                yield Path(temporary)
            return
        from trainer.classifiers import training

        folder = self.checkpoints
        training.claim_folder(folder, training.fingerprint(self._decisive_settings(), examples, validation))
        checkpoint = training.last_whole_checkpoint(folder)
        if checkpoint is not None:
            self.notes += (
                f"training was interrupted and went on after epoch {training.epochs_done(checkpoint)}: its seconds are "
                "those of the rest",
            )
        try:
            yield folder
        except DivergedError as error:
            raise DivergedError(error.step, error.steps, training.last_whole_checkpoint(folder)) from None
        finally:
            training.drop_fruitless(folder)

    def _decisive_settings(self) -> dict[str, Any]:
        """What the steps of a training depend on, besides the examples."""
        from trainer.classifiers.network import trains_in_bfloat16

        return self._section.model_dump() | {
            "encoder": encoder_digest(find_encoder(self._section.encoder)),
            "seed": self._seed,
            "labels": self.labels,
            "exclusive": self._exclusive,
            "processes": world_size(),
            "bfloat16": trains_in_bfloat16(self._section.precision),
        }

    def _train_as_memory_allows(
        self, examples: Sequence[Example], validation: Sequence[Example], folder: Path
    ) -> float:
        """`_train` with batches as large as possible; of smaller ones more make a step."""
        from trainer.classifiers.training import free_memory, is_out_of_memory, smaller_batch

        batch_size = self._section.batch_size
        while True:
            try:
                return self._train(examples, validation, folder, batch_size)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                smaller = smaller_batch(batch_size, self._section.batch_size) if world_size() == 1 else 0
                if not smaller:
                    raise ExperimentError(_OUT_OF_MEMORY.format(n=batch_size)) from error
                self.notes += (f"out of memory with {batch_size} sentences at once: went on with {smaller}",)
            # Not in the clause above: the error holds on to all that the training held.
            self.network_ = None  # else two networks would have to fit in memory
            free_memory()
            batch_size = smaller

    def _train(
        self, examples: Sequence[Example], validation: Sequence[Example], folder: Path, batch_size: int
    ) -> float:
        """Train a fresh network in `folder`; the epoch whose weights were kept."""
        from transformers import set_seed

        from trainer.classifiers.training import train_network

        set_seed(self._seed)  # before the network is built: its head is initialised at random
        network = self._open_encoder(dropout=self._section.dropout)
        network.prepare(lora_rank=self._section.lora_rank, recompute=self._section.activation_checkpointing)
        gold = label_matrix(examples, self.labels)
        network.set_loss(
            np.eye(self._n_outputs, dtype=bool)[class_indices(gold)] if self._exclusive else gold,
            exclusive=self._exclusive,
            smoothing=self._section.label_smoothing,
            most_weight=self._section.positive_weight,
            asymmetric=self._section.loss == "asymmetric",
        )
        best_epoch = train_network(
            network,
            self.tokenizer_,
            self._table(examples),
            self._table(validation),
            section=self._section,
            batch_size=batch_size,
            epochs=self._epochs(len(examples)),
            seed=self._seed,
            folder=folder,
        )
        network.finish()
        return best_epoch

    def _epochs(self, n_examples: int) -> int:
        steps = max(1, n_examples // self._section.batch_size)
        return math.ceil(max(self._section.epochs, self._section.min_steps / steps))

    def _table(self, examples: Sequence[Example]) -> Any:
        """A tokenised `datasets.Dataset`: input_ids, attention_mask, labels."""
        from datasets import Dataset

        gold = label_matrix(examples, self.labels)
        targets = class_indices(gold).tolist() if self._exclusive else gold.astype(float).tolist()
        table = Dataset.from_dict({"text": [example.text for example in examples], "labels": targets})
        return table.map(
            lambda rows: self.tokenizer_(rows["text"], truncation=True, max_length=self.max_length_),
            batched=True,
            remove_columns=["text"],
            new_fingerprint="tokenised",  # else `datasets` hashes the function and all it refers to
        )

    def describe(self) -> dict[str, Any]:
        """Encoder, pooling, length limit, parameters, and the epoch that was kept."""
        return super().describe() | {"best_epoch": self.best_epoch_}
