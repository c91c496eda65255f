"""A transformer encoder with a linear head, all layers trained by transformers' `Trainer`.

Here are what is trained and how it is saved and asked; the module that is trained stands in `network`, the encoder's
place on disk is found by `trainer.encoders`.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from labels.codebook import Codebook
from labels.records import Example
from trainer.classifiers.base import Probabilities, Progress, class_indices, label_matrix, without_none
from trainer.config import FinetuneSection
from trainer.embeddings import Vectors, encode_in_batches
from trainer.encoders import default_pooling, find_encoder
from trainer.errors import ExperimentError

if TYPE_CHECKING:
    from trainer.classifiers.network import Network

SETTINGS, HEAD, ENCODER = "settings.json", "head.safetensors", "encoder"


class FinetuneClassifier:
    """Pooled encoder output -> dropout -> linear -> sigmoid for each label, or softmax over exclusive classes.

    Mini-batches of like length with dynamic padding; AdamW with a rate of its own for the head; rare labels weigh
    more, up to `positive_weight`; after each epoch the validation score (mean average precision, or macro-F1 of
    exclusive codebooks) decides which checkpoint is kept and when to stop.
    """

    needs_calibration = True

    def __init__(
        self, codebook: Codebook, section: FinetuneSection, seed: int, progress: Progress | None = None
    ) -> None:
        self.labels = codebook.label_names
        self._exclusive = codebook.exclusive
        self._n_outputs = len(self.labels) + (codebook.exclusive and codebook.allow_none)
        self._section = section
        self._seed = seed
        self._progress = progress
        self.network_: Network | None = None
        self.tokenizer_: Any = None
        self.max_length_ = section.max_length
        self.best_epoch_ = 0.0

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Train; the checkpoint that is best on `validation` is kept.

        Raises:
            EncoderError: the encoder cannot be found or opened.
            ExperimentError: there is no validation example to stop by, or `keep_layers` exceeds the encoder's.
        """
        from transformers import set_seed

        if not validation:
            raise ExperimentError("finetune needs validation examples to stop by. Give data.validation, or more data.")
        set_seed(self._seed)
        self._open_encoder()
        with tempfile.TemporaryDirectory(prefix="communique-") as folder:
            self.best_epoch_ = self._train(examples, validation, Path(folder))
        return self

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """(n, labels): sigmoid of each output, or softmax over the classes without the column of "none".

        Longer texts are cut at `max_length` tokens.
        """
        return self.predict_embedded(self.embed(texts))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, hidden size) pooled states of the trained encoder: what the head sees. Not normalised."""
        if self.network_ is None:
            raise ExperimentError("this classifier was not fitted: call `fit`, or load a saved one.")
        self.network_.eval()
        return encode_in_batches(
            texts,
            self.tokenizer_,
            self.network_.pooled,
            width=self.network_.head.in_features,
            max_length=self.max_length_,
            device=self.network_.head.weight.device,
        )

    def predict_embedded(self, vectors: Vectors) -> Probabilities:
        """`predict_proba` from the vectors that `embed` gave."""
        import torch

        assert self.network_ is not None
        head = self.network_.head
        with torch.inference_mode():
            logits = head(torch.from_numpy(vectors).to(head.weight.device)).float().cpu().numpy()
        return self._probabilities(logits)

    def _probabilities(self, logits: Probabilities) -> Probabilities:
        if not self._exclusive:
            return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return without_none(shifted / shifted.sum(axis=1, keepdims=True), len(self.labels))

    def _open_encoder(self) -> None:
        from trainer.classifiers.network import open_network

        folder = find_encoder(self._section.encoder)
        pooling = default_pooling(folder) if self._section.pooling == "auto" else self._section.pooling
        self.network_, self.tokenizer_ = open_network(
            folder,
            self._n_outputs,
            pooling=pooling,
            dropout=self._section.dropout,
            keep_layers=self._section.keep_layers,
        )
        self.max_length_ = min(self._section.max_length, self.network_.max_positions)

    def _train(self, examples: Sequence[Example], validation: Sequence[Example], folder: Path) -> float:
        """Train in `folder`; the epoch whose weights were kept."""
        from trainer.classifiers.training import train_network

        assert self.network_ is not None
        gold = label_matrix(examples, self.labels)
        self.network_.set_loss(
            gold if not self._exclusive else _one_hot(class_indices(gold), self._n_outputs),
            exclusive=self._exclusive,
            smoothing=self._section.label_smoothing,
            most_weight=self._section.positive_weight,
        )
        return train_network(
            self.network_,
            self.tokenizer_,
            self._table(examples),
            self._table(validation),
            section=self._section,
            epochs=self._epochs(len(examples)),
            seed=self._seed,
            exclusive=self._exclusive,
            folder=folder,
            progress=self._progress,
        )

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
            new_fingerprint="tokenised",
        )

    def save(self, folder: Path) -> None:
        """Write `encoder/` (opens with AutoModel and AutoTokenizer), `head.safetensors` and `settings.json`."""
        from safetensors.torch import save_file

        assert self.network_ is not None
        self.network_.encoder.save_pretrained(folder / ENCODER)
        self.tokenizer_.save_pretrained(folder / ENCODER)
        head = self.network_.head
        save_file({"weight": head.weight.detach().cpu().contiguous(), "bias": head.bias.detach().cpu()}, folder / HEAD)
        settings = {
            "encoder": self._section.encoder,
            "pooling": self.network_.pooling,
            "max_length": self.max_length_,
            "best_epoch": self.best_epoch_,
        }
        (folder / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Open what `save` wrote, on a GPU where there is one."""
        import torch
        from safetensors.torch import load_file

        from trainer.classifiers.network import open_network

        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        classifier = cls(codebook, FinetuneSection(kind="finetune", encoder=settings["encoder"]), seed=0)
        classifier.network_, classifier.tokenizer_ = open_network(
            folder / ENCODER, classifier._n_outputs, pooling=settings["pooling"], dropout=0.0
        )
        classifier.network_.head.load_state_dict(load_file(folder / HEAD))
        classifier.network_.to("cuda" if torch.cuda.is_available() else "cpu")
        classifier.max_length_, classifier.best_epoch_ = int(settings["max_length"]), float(settings["best_epoch"])
        return classifier

    def describe(self) -> dict[str, Any]:
        """Encoder, pooling, length limit, parameters, and the epoch that was kept."""
        assert self.network_ is not None
        return {
            "encoder": self._section.encoder,
            "pooling": self.network_.pooling,
            "max_length": self.max_length_,
            "parameters": sum(parameter.numel() for parameter in self.network_.parameters()),
            "best_epoch": self.best_epoch_,
        }


def _one_hot(indices: Any, n_classes: int) -> Any:
    return np.eye(n_classes, dtype=bool)[indices]
