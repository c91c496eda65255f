"""Train with the `Trainer` of transformers, configured for small labelled sets on one CPU or GPU.

An interrupted run resumes from a folder of checkpoints, which belongs to one experiment on one set of examples. This
module imports torch, so import it only for training.
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from labels.environment.progress import report_progress
from labels.errors import DivergedError
from labels.records import Example
from trainer.classifiers.base import example_weights
from trainer.classifiers.network import Network, trains_in_bfloat16
from trainer.config.models import FinetuneSection
from trainer.environment import is_follower, world_size

_LAYER = re.compile(r"\b(?:layers?|blocks?|h)\.(\d+)\.")
_FINGERPRINT, _STATE = "fingerprint.txt", "trainer_state.json"
_SIGNS_OF_WANT = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


class _NetworkTrainer(Trainer):  # type: ignore[misc]
    """Trains a `Network` with separate learning rates for the layers and the head; fails if the loss is not finite."""

    def __init__(self, *args: Any, head_learning_rate: float, layer_decay: float, **kwargs: Any) -> None:
        self._head_learning_rate = head_learning_rate
        self._layer_decay = layer_decay
        self._order = torch.Generator()
        super().__init__(*args, **kwargs)
        self.add_callback(_StepsCallback(self._order))

    def create_optimizer(self, *_: Any, **__: Any) -> torch.optim.Optimizer:
        """Make AdamW with a group per learning rate and weight decay; biases and normalisation have no weight decay."""
        trained = {name: weights for name, weights in self.model.named_parameters() if weights.requires_grad}
        encoder = [name for name in trained if name.startswith("encoder.")]
        rates = encoder_rates(encoder, self.args.learning_rate, self._layer_decay)
        # Weights outside the encoder belong to the head. Groups are few, because the optimiser makes a call for each.
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for name, weights in trained.items():
            decay = self.args.weight_decay if weights.ndim > 1 else 0.0
            groups.setdefault((rates.get(name, self._head_learning_rate), decay), []).append(weights)
        self.optimizer = torch.optim.AdamW(
            [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()],
            fused=True,
        )
        return self.optimizer

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """Run the forward and backward pass on one batch.

        Raises:
            DivergedError: the loss is not finite.
        """
        loss: Tensor = super().training_step(*args, **kwargs)
        if not bool(torch.isfinite(loss)):
            raise DivergedError(self.state.global_step + 1, self.state.max_steps)
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Compute the loss on validation.

        Raises:
            DivergedError: the loss is not finite.
        """
        found: dict[str, float] = super().evaluate(*args, **kwargs)
        if not math.isfinite(found["eval_loss"]):
            raise DivergedError(self.state.global_step, self.state.max_steps)
        return found

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        """Use the same order in all processes, whose own random generators diverge because of dropout."""
        sampler = super()._get_train_sampler(*args, **kwargs)
        if self.args.world_size > 1:
            sampler.generator = self._order
        return sampler


class _StepsCallback(TrainerCallback):  # type: ignore[misc]
    """Reports finished steps, and seeds the order of examples, which is equal in all processes and after resuming."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._generator.manual_seed(args.seed + round(state.epoch or 0))

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        report_progress("Training", state.global_step, state.max_steps)


def train_network(
    network: Network,
    tokenizer: Any,
    train: Any,
    validation: Any,
    *,
    section: FinetuneSection,
    batch_size: int,
    epochs: int,
    seed: int,
    folder: Path,
) -> float:
    """Train `network` in place and keep the weights of the best epoch; returns the best epoch.

    Args:
        train, validation: tokenised `datasets.Dataset`s with `labels`.
        batch_size: number of sentences encoded at once on all devices together; if it is smaller than the section's
            batch size, gradients of several batches are accumulated.
        folder: folder of checkpoints, shared by all processes of the run; training resumes from the last complete
            checkpoint.

    Raises:
        DivergedError: the loss became infinite or NaN.
    """
    # The trainer stores the path of the best checkpoint, which must also be valid from another working directory.
    folder = folder.resolve()
    checkpoint = last_whole_checkpoint(folder)
    if checkpoint is not None:
        # Do not continue a finished run: with its number of epochs as the limit, no steps are left.
        epochs = epochs_when_stopped(checkpoint) or epochs
    trainer = _NetworkTrainer(
        model=network,
        args=_arguments(section, batch_size, epochs, seed, folder),
        train_dataset=train,
        eval_dataset=validation,
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=[EarlyStoppingCallback(early_stopping_patience=section.patience)],
        head_learning_rate=section.head_learning_rate,
        layer_decay=section.layer_decay,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    trainer.accelerator.wait_for_everyone()  # all processes have read the best checkpoint, so it may be deleted
    return _best_epoch(trainer.state)


def encoder_rates(names: Sequence[str], rate: float, decay: float) -> dict[str, float]:
    """Return the learning rate of each encoder weight, by the name of the weight.

    The last layer, and weights after it, have `rate`. Each earlier layer has `decay` times the rate of the next layer,
    and the embeddings have `decay` times the rate of the first layer.

    Source: Howard and Ruder (2018), "discriminative fine-tuning", in the form used for ELECTRA.
    """
    # Embeddings are layer 0, so add one to the encoder's own layer numbers.
    layers = {name: int(found[1]) + 1 for name in names if (found := _LAYER.search(name))}
    last = max(layers.values(), default=0)
    first = dict.fromkeys((name for name in names if "embeddings" in name), 0)
    return {name: rate * decay ** (last - {**first, **layers}.get(name, last)) for name in names}


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether torch or Python ran out of memory, on a GPU or in main memory."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or any(sign in str(error) for sign in _SIGNS_OF_WANT)


def free_memory() -> None:
    """Free the memory of a failed run, also on a GPU; the caller must not keep references to its objects."""
    gc.collect()  # modules and hooks form reference cycles, which reference counting does not free
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def smaller_batch(batch_size: int, whole: int) -> int:
    """Return the largest divisor of `whole` that is at most half of `batch_size`; 0 if there is none."""
    # It must be a divisor, because equal batches add up to exactly the configured batch size.
    return next((size for size in range(batch_size // 2, 0, -1) if whole % size == 0), 0)


def _arguments(section: FinetuneSection, batch_size: int, epochs: int, seed: int, folder: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=max(1, batch_size // _n_devices()),
        gradient_accumulation_steps=section.gradient_accumulation * (section.batch_size // batch_size),
        per_device_eval_batch_size=32 if batch_size == section.batch_size else batch_size,
        learning_rate=section.learning_rate,
        weight_decay=section.weight_decay,
        warmup_steps=section.warmup,  # below 1: a share of the steps
        lr_scheduler_type="linear",
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        restore_callback_states_from_checkpoint=True,  # includes the patience used so far
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        label_names=["labels"],
        remove_unused_columns=False,
        use_cpu=not torch.cuda.is_available(),
        bf16=trains_in_bfloat16(section.precision),
        dataloader_pin_memory=torch.cuda.is_available(),
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,
    )


def _n_devices() -> int:
    """Return the number of devices: one per process, or all GPUs if there is only one process."""
    return world_size() if world_size() > 1 else max(1, torch.cuda.device_count())


def _best_epoch(state: Any) -> float:
    epochs = {row["step"]: row["epoch"] for row in state.log_history if "eval_loss" in row}
    return float(epochs.get(state.best_global_step, state.epoch))


def fingerprint(settings: dict[str, Any], *parts: Sequence[Example]) -> str:
    """Return 64 hex digits that identify the steps of a training run: a hash of settings, examples and versions."""
    weights = [own.tolist() for part in parts if (own := example_weights(part)) is not None]
    content = {
        "settings": settings | ({"weights": weights} if weights else {}),
        "parts": [[(example.text, example.labels) for example in part] for part in parts],
        "packages": [version(name) for name in ("torch", "transformers")],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def claim_folder(folder: Path, mark: str) -> None:
    """Reserve `folder` for the run with this fingerprint; files from another run are deleted.

    In a distributed run the leader does this, and the followers wait.
    """
    path = folder / _FINGERPRINT
    while not _has(path, mark):
        # Followers must not look for checkpoints before the leader has deleted the files of another run.
        if is_follower():
            time.sleep(0.1)
            continue
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        path.write_text(mark, encoding="utf-8")


def _has(path: Path, mark: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == mark
    except OSError:  # missing, or just being deleted by the leader
        return False


def drop_fruitless(folder: Path) -> None:
    """Delete a claimed folder from which no run can resume; only the leader does this, not the followers."""
    if not is_follower() and last_whole_checkpoint(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)


def last_whole_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint: one with the state file, which the trainer writes last."""
    # Sort by number, because "checkpoint-100" comes before "checkpoint-20" as text.
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for checkpoint in found:
        with suppress(OSError, ValueError):
            _state(checkpoint)
            return checkpoint
    return None


def _state(checkpoint: Path) -> Any:
    return json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))


def epochs_done(checkpoint: Path) -> int:
    """Return the number of epochs that were finished when a complete checkpoint was written."""
    return round(float(_state(checkpoint)["epoch"]))


def epochs_when_stopped(checkpoint: Path) -> int | None:
    """Return the number of epochs of a run that ran out of patience or epochs; None if the run is not finished.

    A resumed `Trainer` does not restore its decision to stop, and would train another epoch.
    """
    stopped = _state(checkpoint)["stateful_callbacks"]["TrainerControl"]["args"]["should_training_stop"]
    return epochs_done(checkpoint) if stopped else None
