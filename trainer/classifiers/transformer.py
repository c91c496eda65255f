"""What classifiers on a trained encoder share: how they predict, and are saved, exported and opened again.

Each kind trains in its own way. `network` holds the torch module, `onnx` what runs it after an export, and
`trainer.encoders.encoder` finds the encoder.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from labels.codebook.schema import Codebook
from labels.errors import ArtefactError
from labels.records import Example
from trainer.calibration.calibration import Probabilities
from trainer.classifiers.base import Classifier, count_outputs, not_fitted, output_probabilities
from trainer.classifiers.onnx import ENCODER, GRAPH, HEAD, SETTINGS, NetworkSettings, OnnxNetwork
from trainer.config.models import ContrastiveSection, FinetuneSection
from trainer.encoders.embeddings import TokenIds, Vectors, ask_torch, encode_in_batches
from trainer.encoders.encoder import default_pooling, find_encoder, write_sentence_layout

if TYPE_CHECKING:
    from trainer.classifiers.network import Network


class TransformerClassifier(Classifier):
    """Pooled encoder output -> linear -> sigmoid for each label, or softmax over exclusive classes."""

    def __init__(
        self,
        codebook: Codebook,
        section: FinetuneSection | ContrastiveSection,
        seed: int,
    ) -> None:
        self.labels = codebook.label_names
        self._exclusive = codebook.exclusive
        self._n_outputs = count_outputs(codebook)
        self._encoder_settings = section
        self._seed = seed
        self.network_: Network | None = None
        self.onnx_: OnnxNetwork | None = None
        self.tokenizer_: Any = None
        self.max_length_ = section.max_length

    @abstractmethod
    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Train the encoder and the head; each kind has its own way."""

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """(n, labels): sigmoid of each output, or softmax over the classes without the column of "none".

        Longer texts are cut at `max_length` tokens.
        """
        return self.predict_embedded(self.embed(texts))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, hidden size) pooled states of the trained encoder: what the head sees."""
        engine = self._engine()
        return encode_in_batches(texts, self.tokenizer_, engine.encode, width=engine.width, max_length=self.max_length_)

    def predict_embedded(self, vectors: Vectors) -> Probabilities:
        """`predict_proba` from the vectors that `embed` gave."""
        return output_probabilities(self._engine().logits(vectors), len(self.labels), exclusive=self._exclusive)

    def _engine(self) -> OnnxNetwork | _TorchEngine:
        """What runs the network: onnxruntime where it was exported, else torch."""
        return self.onnx_ or _TorchEngine(self._fitted_network())

    def _open_encoder(self, **changes: Any) -> None:
        """Put a fresh network around the section's encoder; `changes` go to `open_network`."""
        from trainer.classifiers.network import open_network

        self.onnx_ = None
        section = self._encoder_settings
        folder = find_encoder(section.encoder)
        pooling = default_pooling(folder) if section.pooling == "auto" else section.pooling
        self.network_, self.tokenizer_ = open_network(
            folder, self._n_outputs, pooling=pooling, keep_layers=section.keep_layers, **changes
        )
        self.max_length_ = min(section.max_length, self.network_.max_positions)

    def _fitted_network(self) -> Network:
        if self.network_ is None:
            raise not_fitted()
        return self.network_

    def save(self, folder: Path) -> None:
        """Write `encoder/`, `head.safetensors` and `settings.json`; an exported classifier is copied as it is.

        AutoModel and AutoTokenizer open `encoder/`; so does SentenceTransformer, and gives the vectors of `embed`.
        """
        if self.onnx_ is not None:
            self.onnx_.save(folder)
            return
        self._fitted_network().encoder.save_pretrained(folder / ENCODER)
        self._save_the_rest(folder)
        self._write_settings(folder, self._settings())

    def is_exported(self) -> bool:
        """Whether it runs on onnxruntime already."""
        return self.onnx_ is not None

    def why_not_exported(self, *, int8: bool) -> str:
        """Empty: whether an encoder can be exported shows only when its graph is written."""
        return ""

    def read_by_exported(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """(n,) all of them."""
        return np.ones(len(texts), dtype=bool)

    def save_exported(self, folder: Path, *, int8: bool) -> None:
        """Like `save`, but with `onnx/model.onnx` in place of the encoder's weights; `load` opens it too.

        Args:
            int8: use 8-bit weights.

        Raises:
            ArtefactError: the exporter is not installed, or cannot express this encoder or tokenizer.
        """
        from trainer.classifiers.onnx import write_graph

        network = self._fitted_network()
        (folder / GRAPH).parent.mkdir()
        write_graph(network, folder / GRAPH, int8=int8)
        network.encoder.config.save_pretrained(folder / ENCODER)
        self._save_the_rest(folder)
        if not (folder / ENCODER / "tokenizer.json").is_file():
            raise ArtefactError(
                f"this encoder's tokenizer ({type(self.tokenizer_).__name__}) has no tokenizer.json, which an exported "
                "model needs. Train with an encoder that has one."
            )
        export = {
            "precision": "int8" if int8 else "float32",
            "parameters": _TorchEngine(network).parameters,
            "pad_token_id": self.tokenizer_.pad_token_id,
        }
        self._write_settings(folder, self._settings().model_copy(update=export))

    def _save_the_rest(self, folder: Path) -> None:
        """Write tokenizer, head, and sentence-transformers' files, which also say how the states are pooled."""
        from safetensors.torch import save_file

        network = self._fitted_network()
        self.tokenizer_.save_pretrained(folder / ENCODER)
        write_sentence_layout(
            folder / ENCODER,
            width=network.head.in_features,
            pooling=network.pooling,
            max_length=self.max_length_,
            normalise=network.normalise,
        )
        head = network.head
        save_file({"weight": head.weight.detach().cpu().contiguous(), "bias": head.bias.detach().cpu()}, folder / HEAD)

    def _write_settings(self, folder: Path, settings: NetworkSettings) -> None:
        # `normalise` is written even where it is false: README's ten lines of plain transformers read it.
        content = {"normalise": settings.normalise} | settings.model_dump(exclude_defaults=True)
        (folder / SETTINGS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def _settings(self) -> NetworkSettings:
        """What `load` needs besides the weights; each kind adds its own."""
        engine = self._engine()
        return NetworkSettings(
            encoder=self._encoder_settings.encoder,
            pooling=engine.pooling,
            normalise=engine.normalise,
            max_length=self.max_length_,
        )

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Open what `save` or `save_exported` wrote, on a GPU where there is one.

        Raises:
            ArtefactError: the model was exported, and onnxruntime is not installed or cannot open it.
        """
        settings = NetworkSettings.model_validate_json((folder / SETTINGS).read_text(encoding="utf-8"))
        classifier = cls(codebook, cls._section_of(settings), seed=0)
        classifier.max_length_ = settings.max_length
        if (folder / GRAPH).is_file():
            classifier.onnx_ = OnnxNetwork(folder, settings)
            classifier.tokenizer_ = classifier.onnx_.tokenizer
        else:
            classifier._load_network(folder, settings)
        classifier._restore(settings)
        return classifier

    def _load_network(self, folder: Path, settings: NetworkSettings) -> None:
        import torch
        from safetensors.torch import load_file

        from trainer.classifiers.network import open_network

        self.network_, self.tokenizer_ = open_network(
            folder / ENCODER, self._n_outputs, pooling=settings.pooling, normalise=settings.normalise
        )
        self.network_.head.load_state_dict(load_file(folder / HEAD))
        self.network_.to("cuda" if torch.cuda.is_available() else "cpu")

    @classmethod
    @abstractmethod
    def _section_of(cls, settings: NetworkSettings) -> FinetuneSection | ContrastiveSection:
        """A section of this kind with the encoder of the settings."""

    @abstractmethod
    def _restore(self, settings: NetworkSettings) -> None:
        """Take the kind's own settings, which `_settings` wrote."""

    def describe(self) -> dict[str, Any]:
        """Encoder, pooling, length limit and parameters."""
        engine = self._engine()
        return {
            "encoder": self._encoder_settings.encoder,
            "pooling": engine.pooling,
            "max_length": self.max_length_,
            "parameters": engine.parameters,
        }


class _TorchEngine:
    """A torch network behind the interface of `OnnxNetwork`: arrays in, arrays out."""

    def __init__(self, network: Network) -> None:
        self._network = network.eval()
        self.pooling, self.normalise = network.pooling, network.normalise

    @property
    def width(self) -> int:
        return self._network.head.in_features

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self._network.parameters())

    def encode(self, input_ids: TokenIds, attention_mask: TokenIds) -> Vectors:
        return ask_torch(self._network.pooled, self._network.head.weight.device, input_ids, attention_mask)

    def logits(self, vectors: Vectors) -> Probabilities:
        import torch

        head = self._network.head
        with torch.inference_mode():
            logits: Probabilities = head(torch.from_numpy(vectors).to(head.weight.device)).float().cpu().numpy()
        return logits
