"""Classify with static vectors: one vector per token, averaged over a text, and a linear layer.

The vectors are taken from a sentence encoder once. Afterwards the encoder is not needed, and predicting a text costs
little more than tokenising it. Learning from labels fits logistic regression to the mean vectors. Learning from the
probabilities of another model (`learn`) also trains the vectors.

Source: model2vec (https://github.com/MinishLab/model2vec): the encoder's output for each single token, principal
components, and weights that fall with the frequency of a token (SIF; Arora, Liang and Ma, 2017, "A Simple but
Tough-to-Beat Baseline for Sentence Embeddings"), here with the frequencies in the training texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from labels.codebook.schema import Codebook
from labels.environment.progress import report_progress
from labels.errors import DivergedError, ExperimentError
from labels.records import Example
from labels.unicode import undivided
from trainer.calibration.calibration import Floats, Probabilities
from trainer.classifiers.base import Classifier, fitted
from trainer.classifiers.linear import LinearClassifier, LinearLayer
from trainer.classifiers.onnx import ENCODER, HEAD, SETTINGS, PlainTokenizer
from trainer.classifiers.transformer import TransformerClassifier
from trainer.config.models import StaticSection
from trainer.encoders.embeddings import Vectors, ask_torch, best_device, normalised, pool_states
from trainer.encoders.encoder import default_pooling, find_encoder, max_positions, open_encoder

if TYPE_CHECKING:
    import scipy.sparse
    import torch

VECTORS = "tokens.safetensors"
_SIF = 1e-3
"""The constant a of the weight a / (a + frequency), as in the paper."""
_BATCH, _TOKENS_AT_ONCE = 128, 512


class StaticSettings(BaseModel):
    """The contents of `settings.json`. `encoder` is the name of the encoder from which the vectors were taken."""

    model_config = ConfigDict(frozen=True)

    encoder: str
    pooling: str
    max_length: int
    pad_token_id: int


class StaticClassifier(LinearClassifier):
    """A linear layer on the unit-length mean of a text's token vectors, with a sigmoid per label or a softmax.

    Attributes:
        vectors_: (vocabulary, dimensions) weighted token vectors; special and padding tokens have zeros.
        layer_: the linear layer.
    """

    _section: StaticSection
    settings_: StaticSettings | None = None
    vectors_: Vectors | None = None
    layer_: LinearLayer | None = None
    _tokenizer: Any = None
    _tokenizer_json: str = ""

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Take the token vectors from the encoder, and fit the regression; `validation` is not used.

        Raises:
            EncoderError: the encoder cannot be found or opened.
            ExperimentError: all examples are of one class, or the tokenizer has no `tokenizer.json`.
        """
        targets = self._targets(examples)  # first, so that examples of one class are refused immediately
        texts = [example.text for example in examples]
        self._open_and_take(texts)
        self.layer_ = self._fit_layer(self.embed(texts), targets, examples)
        return self

    def learn(self, texts: Sequence[str], probabilities: Probabilities, teacher: Classifier) -> Self:
        """Take the token vectors from an encoder, then train vectors and layer on a teacher's probabilities.

        The encoder is the teacher's if the teacher has trained one, otherwise the section's.

        Raises:
            EncoderError: the encoder cannot be found or opened.
            ExperimentError: the tokenizer has no `tokenizer.json`.
            DivergedError: the loss became infinite or NaN.
        """
        if isinstance(teacher, TransformerClassifier) and teacher.network_ is not None:
            settings, encoder = fitted(teacher.settings_), teacher.network_.eval().encoder
            self._take_vectors(encoder, teacher.tokenizer_, settings.encoder, settings.pooling, texts)
        else:
            self._open_and_take(texts)
        self._train(self._counts(texts), probabilities)
        return self

    def _open_and_take(self, texts: Sequence[str]) -> None:
        """Take the token vectors from the section's encoder."""
        name, folder = self._section.encoder, find_encoder(self._section.encoder)
        pooling = default_pooling(folder) if self._section.pooling == "auto" else self._section.pooling
        encoder, tokenizer = open_encoder(folder)
        self._take_vectors(encoder.eval().to(best_device()), tokenizer, name, pooling, texts)

    def _take_vectors(self, encoder: Any, tokenizer: Any, name: str, pooling: str, texts: Sequence[str]) -> None:
        """Set tokenizer, settings and `vectors_` from an encoder; `texts` give the frequencies of the tokens."""
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ExperimentError(
                f"model.encoder: the tokenizer of this encoder ({type(tokenizer).__name__}) has no tokenizer.json, "
                "which static vectors need. Use another encoder."
            )
        length = min(self._section.max_length, max_positions(encoder))
        padding = int(tokenizer.pad_token_id)
        self.settings_ = StaticSettings(encoder=name, pooling=pooling, max_length=length, pad_token_id=padding)
        self._set_tokenizer(backend.to_str())
        components = principal_components(token_vectors(encoder, tokenizer, pooling), self._section.dimensions)
        components[sorted(set(tokenizer.all_special_ids))] = 0
        self.vectors_ = components  # `_counts` needs the size of the vocabulary
        frequency = np.asarray(self._counts(texts).sum(axis=0), dtype=np.float64).ravel()
        frequency /= max(frequency.sum(), 1)
        weights = (_SIF / (_SIF + frequency)).astype(np.float32)
        self.vectors_ = _rounded(components * weights[:, None])

    def _set_tokenizer(self, content: str) -> None:
        settings = fitted(self.settings_)
        self._tokenizer_json = content
        self._tokenizer = PlainTokenizer(content, settings.max_length, settings.pad_token_id)

    def _counts(self, texts: Sequence[str]) -> scipy.sparse.csr_array:
        """Return the (n, vocabulary) numbers of each token in each text."""
        from scipy.sparse import csr_array

        vocabulary = len(fitted(self.vectors_))
        rows = self._tokenizer(list(map(undivided, texts)))["input_ids"] if texts else []
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        ends = np.concatenate([[0], np.cumsum(lengths)])
        tokens = np.fromiter((token for row in rows for token in row), dtype=np.int64, count=int(ends[-1]))
        return csr_array((np.ones(len(tokens), dtype=np.float32), tokens, ends), shape=(len(rows), vocabulary))

    def _train(self, counts: scipy.sparse.csr_array, probabilities: Probabilities) -> None:
        """Train `vectors_` of the tokens in these texts, and a new layer, with Adam."""
        import torch

        from trainer.classifiers.students.distillation import soft_loss, soft_targets

        section, vectors = self._section, fitted(self.vectors_).copy()
        torch.manual_seed(self._seed)
        targets = soft_targets(probabilities, exclusive=self._exclusive, n_outputs=self._n_outputs)
        # Only the tokens that occur can learn anything, so leave out the others; special tokens stay zero.
        used = np.flatnonzero((np.asarray(counts.sum(axis=0)).ravel() > 0) & vectors.any(axis=1))
        own = counts[:, used].tocsr()
        scale = float(np.linalg.norm(vectors[used], axis=1).mean()) or 1.0
        table = torch.nn.Parameter(torch.from_numpy(vectors[used] / scale))
        head = torch.nn.Linear(vectors.shape[1], self._n_outputs)
        optimizer = torch.optim.Adam([table, *head.parameters()], lr=section.learning_rate)
        steps = section.epochs * -(-len(targets) // _BATCH)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
        rng, step = np.random.default_rng(self._seed), 0
        for _ in range(section.epochs):
            order = rng.permutation(len(targets))
            for rows in (order[start : start + _BATCH] for start in range(0, len(order), _BATCH)):
                logits = head(_mean_vectors(own[rows], table))
                loss = soft_loss(logits, targets[rows], exclusive=self._exclusive)
                step += 1
                if not bool(torch.isfinite(loss)):
                    raise DivergedError(step, steps)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
                optimizer.step()
                schedule.step()
                report_progress("Training", step, steps)
        vectors[used] = table.detach().numpy() * scale
        self.vectors_ = _rounded(vectors)
        self.layer_ = LinearLayer(head.weight.detach().numpy(), head.bias.detach().numpy())

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """Return (n, labels) probabilities from the linear layer."""
        return self.predict_embedded(self.embed(texts))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return (n, dimensions) unit-length means of token vectors; zeros for a text without a known token."""
        return normalised(np.asarray(self._counts(texts) @ fitted(self.vectors_), dtype=np.float32))

    def predict_embedded(self, vectors: Vectors) -> Probabilities:
        """Return (n, labels) probabilities for vectors from `embed`."""
        return self._probabilities(fitted(self.layer_).logits(vectors))

    def save(self, folder: Path) -> None:
        """Write `tokens.safetensors`, `head.safetensors`, `encoder/tokenizer.json` and `settings.json`."""
        from safetensors.numpy import save_file

        save_file({"vectors": fitted(self.vectors_).astype(np.float16)}, folder / VECTORS)
        fitted(self.layer_).save(folder / HEAD)
        (folder / ENCODER).mkdir()
        (folder / ENCODER / "tokenizer.json").write_text(self._tokenizer_json, encoding="utf-8")
        (folder / SETTINGS).write_text(fitted(self.settings_).model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Load files written by `save`."""
        from safetensors.numpy import load_file

        content = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        classifier = cls(codebook, StaticSection(kind="static"), seed=0)
        classifier.settings_ = StaticSettings.model_validate(content)
        classifier._set_tokenizer((folder / ENCODER / "tokenizer.json").read_text(encoding="utf-8"))
        classifier.vectors_ = load_file(folder / VECTORS)["vectors"].astype(np.float32)
        classifier.layer_ = LinearLayer.load(folder / HEAD)
        return classifier

    def describe(self) -> dict[str, Any]:
        """Return encoder, pooling, length limit, vocabulary, dimensions and number of parameters."""
        vectors, layer = fitted(self.vectors_), fitted(self.layer_)
        described = fitted(self.settings_).model_dump(include={"encoder", "pooling", "max_length"})
        sizes = {"vocabulary": len(vectors), "dimensions": vectors.shape[1]}
        return described | sizes | {"parameters": vectors.size + layer.weight.size + layer.bias.size}


def token_vectors(encoder: Any, tokenizer: Any, pooling: str) -> Vectors:
    """Return the (vocabulary, hidden size) pooled output of an encoder for each token alone, between special tokens."""

    def pooled(**inputs: torch.Tensor) -> torch.Tensor:
        return pool_states(encoder(**inputs).last_hidden_state, inputs["attention_mask"], pooling)

    frame = tokenizer("")["input_ids"]
    before, after = frame[: (len(frame) + 1) // 2], frame[(len(frame) + 1) // 2 :]
    total = len(tokenizer)
    found = []
    for start in range(0, total, _TOKENS_AT_ONCE):
        ids = [[*before, token, *after] for token in range(start, min(start + _TOKENS_AT_ONCE, total))]
        rows = np.array(ids, dtype=np.int64)
        found.append(ask_torch(pooled, encoder.device, rows, np.ones_like(rows)))
        report_progress("Taking token vectors", min(start + _TOKENS_AT_ONCE, total), total)
    return np.concatenate(found)


def principal_components(vectors: Vectors, dimensions: int) -> Vectors:
    """Return (n, at most `dimensions`) centred vectors on their principal components, the largest first."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    # The covariance is small however large the vocabulary is.
    _, axes = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ _fixed_signs(axes[:, ::-1][:, :dimensions]), dtype=np.float32)


def _fixed_signs(axes: Floats) -> Floats:
    """Make the largest entry of each column positive: the sign of an eigenvector is arbitrary."""
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return np.asarray(axes * np.where(largest < 0, -1, 1))


def _rounded(vectors: Vectors) -> Vectors:
    """Round to the precision of the file, so that a saved model predicts as it did before."""
    return vectors.astype(np.float16).astype(np.float32)


def _mean_vectors(counts: scipy.sparse.csr_array, table: torch.Tensor) -> torch.Tensor:
    """Return (batch, dimensions) unit-length sums of token vectors for a batch's (batch, tokens) counts."""
    import torch
    from torch.nn import functional

    tokens, ends = torch.from_numpy(counts.indices.astype(np.int64)), torch.from_numpy(counts.indptr.astype(np.int64))
    weights = torch.from_numpy(counts.data)
    summed = functional.embedding_bag(tokens, table, ends[:-1], mode="sum", per_sample_weights=weights)
    return functional.normalize(summed, dim=1)
