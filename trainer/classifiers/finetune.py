"""Train all layers of a transformer encoder with a linear head, using the `Trainer` of transformers."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from labels.errors import DivergedError, ExperimentError, counted
from labels.records import Example
from labels.unicode import undivided
from trainer.calibration.calibration import Probabilities
from trainer.classifiers.base import (
    Classifier,
    class_indices,
    example_weights,
    fitted,
    label_matrix,
    refuse_one_class,
)
from trainer.classifiers.linear import LinearLayer
from trainer.classifiers.onnx import ENCODER, HEAD, NetworkSettings
from trainer.classifiers.transformer import TransformerClassifier
from trainer.config.models import FinetuneSection
from trainer.encoders.embeddings import best_device
from trainer.encoders.encoder import encoder_digest
from trainer.environment import world_size

if TYPE_CHECKING:
    from trainer.classifiers.network import Network

_OUT_OF_MEMORY = (
    "out of memory with {n} at once. Lower model.batch_size and raise model.gradient_accumulation by the "
    "same factor, lower model.max_length, or set model.activation_checkpointing = true."
)


@dataclass(frozen=True)
class Initial:
    """A fine-tuned model from which training starts: its files, its labels in the order of the head, and its id.

    `training_ids` are the ids of the texts from which it has learned, see `trainer.model.seen`.
    """

    folder: Path
    labels: tuple[str, ...]
    settings: NetworkSettings
    model_id: str
    training_ids: tuple[str, ...] = ()


class FinetuneClassifier(TransformerClassifier):
    """A fine-tuned encoder: pooled output, dropout, a linear layer, and a sigmoid per label or softmax over classes.

    Mini-batches contain texts of similar length, with dynamic padding. AdamW uses separate learning rates for the head
    and for each layer: the further a layer is from the head, the lower its rate. Rare labels have more weight, up to
    `positive_weight`. After each epoch the loss on validation decides which checkpoint to keep and when to stop. With
    `lora_rank`, adapters are trained in place of the encoder's weights and merged into the weights afterwards.

    Attributes:
        checkpoints: folder of checkpoints; None for a temporary folder. An interrupted run of the same experiment on
            the same examples resumes from this folder, with the same result. The caller deletes the folder after
            saving the model.
        initial: the model from which training starts, set before `fit`; None for the section's encoder and a new head.
        notes: remarks on the training run for the report.
    """

    distributed = True
    stops_early = True
    checkpoints: Path | None = None
    initial: Initial | None = None
    _kind = "finetune"
    _section: FinetuneSection
    _start: tuple[str, Path, str] | None = None

    @property
    def best_epoch_(self) -> float:
        """The epoch whose weights were kept."""
        return fitted(self.settings_).best_epoch

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Train the network and keep the checkpoint that is best on `validation`.

        If memory runs out, smaller batches are used, their gradients are accumulated, and a note is added to `notes`.
        A distributed run fails instead, because its processes would have to agree on the batch size.

        Raises:
            EncoderError: the encoder cannot be found or opened.
            ExperimentError: there are no validation examples, all train examples are of one class, `keep_layers`
                exceeds the encoder's number of layers, the encoder or the codebook does not allow a setting,
                `lora_rank` is set but peft is not installed, or there is not enough memory for one sentence.
            DivergedError: the loss became infinite or NaN.
        """
        if not validation:
            raise ExperimentError(
                "finetune needs validation examples for early stopping. Set data.validation, or add data."
            )
        if self._exclusive and self._section.loss == "asymmetric":
            raise ExperimentError(
                'model.loss = "asymmetric" is for multi-label codebooks, and this codebook is exclusive. '
                'Set model.loss = "cross_entropy".'
            )
        refuse_one_class(examples, self.labels, exclusive=self._exclusive)
        with self._checkpoint_folder(examples, validation) as folder:
            best_epoch = self._train_as_memory_allows(examples, validation, folder)
        self.settings_ = fitted(self.settings_).model_copy(update={"best_epoch": best_epoch})
        return self

    def learn(self, texts: Sequence[str], probabilities: Probabilities, teacher: Classifier) -> Self:
        """Train on a teacher's probabilities for `epochs` passes, without early stopping or weights for rare labels.

        Training starts from the first `keep_layers` layers of the teacher's encoder, if the teacher has trained one.

        Raises:
            EncoderError: the encoder cannot be found or opened.
            ExperimentError: `keep_layers` exceeds the encoder's number of layers.
            DivergedError: the loss became infinite or NaN.
        """
        from transformers import set_seed

        from trainer.classifiers.students.distillation import soft_targets, train_on_targets

        set_seed(self._seed)  # before the network is built, because its head is initialised randomly
        with _encoder_of(teacher) as self._start:
            network = self._open_encoder(dropout=self._section.dropout).to(best_device())
        self._start = None
        train_on_targets(
            network,
            self.tokenizer_,
            texts,
            soft_targets(probabilities, exclusive=self._exclusive, n_outputs=self._n_outputs),
            section=self._section,
            max_length=self.max_length_,
            exclusive=self._exclusive,
            seed=self._seed,
        )
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
                f"training was interrupted and resumed after epoch {training.epochs_done(checkpoint)}: the reported "
                "seconds cover only the resumed part",
            )
        try:
            yield folder
        except DivergedError as error:
            raise DivergedError(error.step, error.steps, training.last_whole_checkpoint(folder)) from None
        finally:
            training.drop_fruitless(folder)

    def _decisive_settings(self) -> dict[str, Any]:
        """Return the settings that, with the examples, determine the steps of a training run."""
        from trainer.classifiers.network import trains_in_bfloat16

        return self._section.model_dump() | {
            "encoder": encoder_digest(self._source()[1]),
            "seed": self._seed,
            "labels": self.labels,
            "exclusive": self._exclusive,
            "processes": world_size(),
            "bfloat16": trains_in_bfloat16(self._section.precision),
            **({"initial": self.initial.model_id} if self.initial else {}),
        }

    def _train_as_memory_allows(
        self, examples: Sequence[Example], validation: Sequence[Example], folder: Path
    ) -> float:
        """Call `_train` with the largest batches that fit in memory; smaller batches are accumulated to full steps."""
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
                    raise ExperimentError(_OUT_OF_MEMORY.format(n=counted(batch_size, "sentence"))) from error
                self.notes += (
                    f"out of memory with {counted(batch_size, 'sentence')} at once: continued with {smaller}",
                )
            # Do this outside the `except` clause, because the error keeps all objects of the failed run alive.
            self.network_ = None  # otherwise two networks would have to fit in memory
            free_memory()
            batch_size = smaller

    def _train(
        self, examples: Sequence[Example], validation: Sequence[Example], folder: Path, batch_size: int
    ) -> float:
        """Train a new network with checkpoints in `folder`; returns the epoch whose weights were kept."""
        from transformers import set_seed

        from trainer.classifiers.training import train_network

        set_seed(self._seed)  # before the network is built, because its head is initialised randomly
        network = self._open_encoder(dropout=self._section.dropout)
        if self.initial:
            self._copy_head(network, self.initial)
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

    def _source(self) -> tuple[str, Path, str]:
        if self._start is not None:
            return self._start
        if self.initial is None:
            return super()._source()
        settings = self.initial.settings
        return settings.encoder, self.initial.folder / ENCODER, settings.pooling

    def _copy_head(self, network: Network, initial: Initial) -> None:
        """Copy the rows of the labels that both models have; the rows of other labels stay random."""
        theirs, ours = LinearLayer.load(initial.folder / HEAD), network.layer
        weight, bias = ours.weight.copy(), ours.bias.copy()
        # The output after the labels, if there is one, is "none".
        old, new = ((*labels, "")[:n] for labels, n in ((initial.labels, len(theirs.bias)), (self.labels, len(bias))))
        for name in set(old) & set(new):
            weight[new.index(name)], bias[new.index(name)] = (
                theirs.weight[old.index(name)],
                theirs.bias[old.index(name)],
            )
        network.set_head(LinearLayer(weight, bias))

    def _epochs(self, n_examples: int) -> int:
        steps = max(1, n_examples // self._section.batch_size)
        return math.ceil(max(self._section.epochs, self._section.min_steps / steps))

    def _table(self, examples: Sequence[Example]) -> Any:
        """Return a tokenised `datasets.Dataset` with input_ids, attention_mask, labels and, if needed, row_weights."""
        from datasets import Dataset

        gold = label_matrix(examples, self.labels)
        targets = class_indices(gold).tolist() if self._exclusive else gold.astype(float).tolist()
        columns = {"text": [undivided(example.text) for example in examples], "labels": targets}
        if (weights := example_weights(examples)) is not None:
            columns["row_weights"] = weights.tolist()
        table = Dataset.from_dict(columns)
        return table.map(
            lambda rows: self.tokenizer_(rows["text"], truncation=True, max_length=self.max_length_),
            batched=True,
            remove_columns=["text"],
            new_fingerprint="tokenised",  # otherwise `datasets` hashes the function and every object it refers to
        )

    def describe(self) -> dict[str, Any]:
        """Return encoder, pooling, length limit, number of parameters, and the epoch whose weights were kept."""
        initial = {"initial_model": self.initial.model_id} if self.initial else {}
        return super().describe() | {"best_epoch": self.best_epoch_} | initial


@contextmanager
def _encoder_of(teacher: Classifier) -> Iterator[tuple[str, Path, str] | None]:
    """Save the encoder of a teacher to a temporary folder; yields its name, folder and pooling, or None if it has none.

    An encoder is cut to its first layers when it is opened from a folder, whatever its architecture.
    """
    if not isinstance(teacher, TransformerClassifier) or teacher.network_ is None:
        yield None
        return
    settings = fitted(teacher.settings_)
    with tempfile.TemporaryDirectory(prefix="communique-") as folder:
        teacher.network_.encoder.save_pretrained(folder)
        teacher.tokenizer_.save_pretrained(folder)
        yield settings.encoder, Path(folder), settings.pooling
