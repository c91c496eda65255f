"""Define the base class of classifiers that train an encoder: prediction, saving, export and loading.

Subclasses define the training. `network` contains the torch module, `onnx` runs an exported model, and
`trainer.encoders.encoder` finds the encoder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from labels.codebook.schema import Codebook
from labels.errors import ArtefactError
from trainer.calibration.calibration import Bools, Probabilities
from trainer.classifiers.base import fitted
from trainer.classifiers.explanations import EncoderParts, ExplainedByGradients
from trainer.classifiers.linear import LinearClassifier, LinearLayer
from trainer.classifiers.onnx import ENCODER, GRAPH, HEAD, SETTINGS, NetworkSettings, OnnxNetwork
from trainer.config.models import SECTIONS
from trainer.encoders.embeddings import Vectors, best_device, encode_in_batches
from trainer.encoders.encoder import default_pooling, find_encoder, write_sentence_layout

if TYPE_CHECKING:
    from trainer.classifiers.network import Network


class TransformerClassifier(ExplainedByGradients, LinearClassifier):
    """A linear layer on the pooled output of an encoder, with a sigmoid per label or a softmax over exclusive classes.

    Attributes:
        settings_: settings of the network, and results of training such as the best epoch.
        network_: the torch network; None for an exported model, which has `onnx_` instead.
    """

    _kind: ClassVar[str]
    settings_: NetworkSettings | None = None
    network_: Network | None = None
    onnx_: OnnxNetwork | None = None
    tokenizer_: Any = None

    @property
    def max_length_(self) -> int:
        """The maximum number of tokens; longer texts are truncated."""
        return fitted(self.settings_).max_length

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """Return (n, labels) probabilities: the sigmoid, or the softmax without the "none" column.

        Texts are truncated to `max_length` tokens.
        """
        return self.predict_embedded(self.embed(texts))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the (n, hidden size) pooled states of the trained encoder, which are the input of the head."""
        engine = self._engine()
        width = engine.layer.weight.shape[1]
        return encode_in_batches(texts, self.tokenizer_, engine.encode, width=width, max_length=self.max_length_)

    def predict_embedded(self, vectors: Vectors) -> Probabilities:
        """Return (n, labels) probabilities for vectors from `embed`."""
        return self._probabilities(self._engine().layer.logits(vectors))

    def _engine(self) -> OnnxNetwork | Network:
        """Return the object that runs the network: `onnx_` if the model is exported, else `network_`."""
        # Both have the same `encode`, `layer` and `size`.
        return self.onnx_ or fitted(self.network_)

    def _open_encoder(self, *, dropout: float = 0.0, normalise: bool = False) -> Network:
        """Make a new network from `_source`, with the section's dropout in the encoder's layers."""
        from trainer.classifiers.network import open_network

        section = self._section
        name, folder, pooling = self._source()
        network, self.tokenizer_ = open_network(
            folder,
            self._n_outputs,
            pooling=pooling,
            dropout=dropout,
            normalise=normalise,
            keep_layers=section.keep_layers,
        )
        network.set_encoder_dropout(section.dropout)
        self.network_, self.onnx_ = network, None
        max_length = min(section.max_length, network.max_positions)
        self.settings_ = NetworkSettings(encoder=name, pooling=pooling, normalise=normalise, max_length=max_length)
        return network

    def _source(self) -> tuple[str, Path, str]:
        """Return the name, folder and pooling of the encoder from which training starts."""
        name, pooling = self._section.encoder, self._section.pooling
        folder = find_encoder(name)
        return name, folder, default_pooling(folder) if pooling == "auto" else pooling

    def save(self, folder: Path) -> None:
        """Write `encoder/`, `head.safetensors` and `settings.json`; the files of an exported classifier are copied.

        AutoModel, AutoTokenizer and SentenceTransformer can open `encoder/`; the vectors from SentenceTransformer are
        equal to the vectors from `embed`.
        """
        if self.onnx_ is not None:
            self.onnx_.save(folder)
            return
        fitted(self.network_).encoder.save_pretrained(folder / ENCODER)
        self._save_the_rest(folder, fitted(self.settings_))

    def why_not_explained(self) -> str:
        """Return why this classifier cannot be explained: it is exported, or a package is missing. Empty if it can."""
        if self.onnx_ is not None:
            return (
                "an exported model (ONNX) cannot be explained, because onnxruntime computes no gradients. Explain the "
                "model that was exported."
            )
        return super().why_not_explained()

    def encoder_parts(self) -> EncoderParts:
        """Return the trained network."""
        network = fitted(self.network_)
        weight, bias = network.layer.weight, network.layer.bias
        return EncoderParts(
            network.encoder, self.tokenizer_, network.pooling, network.normalise, weight, bias, self.max_length_
        )

    def is_exported(self) -> bool:
        """Return whether the classifier already runs on onnxruntime."""
        return self.onnx_ is not None

    def why_not_exported(self, *, int8: bool) -> str:
        """Return an empty string: only writing the graph shows whether an encoder can be exported."""
        return ""

    def read_by_exported(self, texts: Sequence[str]) -> Bools:
        """Return an array (n,) that is true for every text."""
        return np.ones(len(texts), dtype=bool)

    def save_exported(self, folder: Path, *, int8: bool) -> None:
        """Like `save`, but with `onnx/model.onnx` instead of the encoder's weights; `load` opens both forms.

        Args:
            int8: use 8-bit weights.

        Raises:
            ArtefactError: the exporter is not installed, or does not support this encoder or tokenizer.
        """
        from trainer.classifiers.onnx import write_graph

        network = fitted(self.network_)
        (folder / GRAPH).parent.mkdir()
        write_graph(network, folder / GRAPH, int8=int8)
        network.encoder.config.save_pretrained(folder / ENCODER)
        export = {
            "precision": "int8" if int8 else "float32",
            "parameters": network.size,
            "pad_token_id": self.tokenizer_.pad_token_id,
        }
        self._save_the_rest(folder, fitted(self.settings_).model_copy(update=export))
        if not (folder / ENCODER / "tokenizer.json").is_file():
            raise ArtefactError(
                f"this encoder's tokenizer ({type(self.tokenizer_).__name__}) has no tokenizer.json, which an exported "
                "model needs. Train with an encoder that has a tokenizer.json."
            )

    def _save_the_rest(self, folder: Path, settings: NetworkSettings) -> None:
        """Write tokenizer, head, settings, and sentence-transformers' files, which also specify the pooling."""
        layer = self._engine().layer
        self.tokenizer_.save_pretrained(folder / ENCODER)
        write_sentence_layout(
            folder / ENCODER,
            width=layer.weight.shape[1],
            pooling=settings.pooling,
            max_length=settings.max_length,
            normalise=settings.normalise,
        )
        layer.save(folder / HEAD)
        # `normalise` is written even if false, because the README's example with plain transformers reads it.
        content = {"normalise": settings.normalise} | settings.model_dump(exclude_defaults=True)
        (folder / SETTINGS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Load a classifier written by `save` or `save_exported`, on a GPU if there is one.

        Raises:
            ArtefactError: the classifier was exported, and onnxruntime is not installed or cannot open the graph.
        """
        settings = NetworkSettings.model_validate_json((folder / SETTINGS).read_text(encoding="utf-8"))
        section = SECTIONS[cls._kind].model_validate({"kind": cls._kind, "encoder": settings.encoder})
        classifier = cls(codebook, section, seed=0)
        classifier.settings_ = settings
        if (folder / GRAPH).is_file():
            classifier.onnx_ = OnnxNetwork(folder, settings)
            classifier.tokenizer_ = classifier.onnx_.tokenizer
        else:
            classifier._load_network(folder, settings)
        return classifier

    def _load_network(self, folder: Path, settings: NetworkSettings) -> None:
        from trainer.classifiers.network import open_network

        network, self.tokenizer_ = open_network(
            folder / ENCODER, self._n_outputs, pooling=settings.pooling, normalise=settings.normalise
        )
        network.set_head(LinearLayer.load(folder / HEAD))
        self.network_ = network.to(best_device())

    def describe(self) -> dict[str, Any]:
        """Return encoder, pooling, length limit and number of parameters; subclasses add results of training."""
        settings = fitted(self.settings_)
        described = settings.model_dump(include={"encoder", "pooling", "max_length"})
        return described | {"parameters": self._engine().size}
