"""The training loop of transformers' `Trainer`, set up for small labelled sets on one CPU or GPU.

An interrupted training resumes from a folder of checkpoints, which is for one experiment on one set of examples. This
module imports torch: import it only where something is trained.
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

from labels.errors import DivergedError
from labels.progress import report_progress
from labels.records import Example
from trainer.classifiers.network import Network, trains_in_bfloat16
from trainer.config.models import FinetuneSection
from trainer.environment import is_follower, world_size

_LAYER = re.compile(r"\b(?:layers?|blocks?|h)\.(\d+)\.")
_FINGERPRINT, _STATE = "fingerprint.txt", "trainer_state.json"
_SIGNS_OF_WANT = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


class _NetworkTrainer(Trainer):  # type: ignore[misc]
    """A `Trainer` of a `Network`, whose layers and head learn at rates of their own; it stops where numbers are not
    finite.
    """

    def __init__(self, *args: Any, head_learning_rate: float, layer_decay: float, **kwargs: Any) -> None:
        self._head_learning_rate = head_learning_rate
        self._layer_decay = layer_decay
        self._order = torch.Generator()
        super().__init__(*args, **kwargs)
        self.add_callback(_StepsCallback(self._order))

    def create_optimizer(self, *_: Any, **__: Any) -> torch.optim.Optimizer:
        """AdamW, a group for each rate; weight decay spares biases and normalisation."""
        trained = {name: weights for name, weights in self.model.named_parameters() if weights.requires_grad}
        encoder = [name for name in trained if name.startswith("encoder.")]
        rates = encoder_rates(encoder, self.args.learning_rate, self._layer_decay)
        # The head is what is not in the encoder. Few groups: the fused optimiser takes each in one call.
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
        """One batch forward and backward.

        Raises:
            DivergedError: its loss is not finite.
        """
        loss: Tensor = super().training_step(*args, **kwargs)
        if not bool(torch.isfinite(loss)):
            raise DivergedError(self.state.global_step + 1, self.state.max_steps)
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """The loss on validation.

        Raises:
            DivergedError: it is not finite.
        """
        found: dict[str, float] = super().evaluate(*args, **kwargs)
        if not math.isfinite(found["eval_loss"]):
            raise DivergedError(self.state.global_step, self.state.max_steps)
        return found

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        """Several processes must draw one order to share it out, though dropout moves their generators apart."""
        sampler = super()._get_train_sampler(*args, **kwargs)
        if self.args.world_size > 1:
            sampler.generator = self._order
        return sampler


class _StepsCallback(TrainerCallback):  # type: ignore[misc]
    """Reports how many steps are done; seeds the order of each epoch, the same in all processes and when resuming."""

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
    """Train `network` in place and leave it with the weights of its best epoch; returns that epoch.

    Args:
        train, validation: tokenised `datasets.Dataset`s with `labels`.
        batch_size: sentences that pass the encoder at once, on all devices together; where it is less than the
            section's, batches are added up to that.
        folder: for checkpoints; training resumes from the last whole one. Processes of one training share it.

    Raises:
        DivergedError: the loss became infinite or not a number.
    """
    # The trainer notes the place of the best checkpoint, which must be found from another working folder too.
    folder = folder.resolve()
    checkpoint = last_whole_checkpoint(folder)
    if checkpoint is not None:
        # A training that had ended is not continued: with as many epochs as it took, there are no steps left.
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
    trainer.accelerator.wait_for_everyone()  # all have read the best checkpoint, which may be deleted now
    return _best_epoch(trainer.state)


def encoder_rates(names: Sequence[str], rate: float, decay: float) -> dict[str, float]:
    """The learning rate of each of an encoder's weights, from its name: `rate` in the last layer and after it, in each
    layer before `decay` times that of the next, and in the embeddings `decay` times that of the first.

    Source: Howard and Ruder (2018), "discriminative fine-tuning"; the rule is that of ELECTRA's.
    """
    # Embeddings are layer 0, so the encoder's own numbers move up by one.
    layers = {name: int(found[1]) + 1 for name in names if (found := _LAYER.search(name))}
    last = max(layers.values(), default=0)
    first = dict.fromkeys((name for name in names if "embeddings" in name), 0)
    return {name: rate * decay ** (last - {**first, **layers}.get(name, last)) for name in names}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory, on a GPU or in main memory."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or any(sign in str(error) for sign in _SIGNS_OF_WANT)


def free_memory() -> None:
    """Free what a failed training held, on a GPU too; no reference to it may be left."""
    gc.collect()  # modules and their hooks refer to each other, so counting references frees little
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def smaller_batch(batch_size: int, whole: int) -> int:
    """The largest divisor of `whole` that is at most half of `batch_size`; 0 where there is none."""
    # A divisor, so that equal batches add up to exactly the batch that was asked for.
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
        restore_callback_states_from_checkpoint=True,  # how far patience has run out
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
    """One for each process, or all GPUs of a process that is alone."""
    return world_size() if world_size() > 1 else max(1, torch.cuda.device_count())


def _best_epoch(state: Any) -> float:
    epochs = {row["step"]: row["epoch"] for row in state.log_history if "eval_loss" in row}
    return float(epochs.get(state.best_global_step, state.epoch))


def fingerprint(settings: dict[str, Any], *parts: Sequence[Example]) -> str:
    """64 hex digits that are equal where a training would take the same steps: settings, examples, library versions."""
    content = {
        "settings": settings,
        "parts": [[(example.text, example.labels) for example in part] for part in parts],
        "packages": [version(name) for name in ("torch", "transformers")],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def claim_folder(folder: Path, mark: str) -> None:
    """Reserve `folder` for the training with this fingerprint; what another training left there is deleted.

    In a distributed training the leader does it, and the followers wait.
    """
    path = folder / _FINGERPRINT
    while not _has(path, mark):
        # Followers must not look for checkpoints before the leader has deleted those of another training.
        if is_follower():
            time.sleep(0.1)
            continue
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        path.write_text(mark, encoding="utf-8")


def _has(path: Path, mark: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == mark
    except OSError:  # not there, or deleted by the leader this moment
        return False


def drop_fruitless(folder: Path) -> None:
    """Delete a claimed folder from which no training can resume; a follower leaves that to the leader."""
    if not is_follower() and last_whole_checkpoint(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end: the trainer writes its state last."""
    # By number, since "checkpoint-100" sorts before "checkpoint-20" as text.
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for checkpoint in found:
        with suppress(OSError, ValueError):
            _state(checkpoint)
            return checkpoint
    return None


def _state(checkpoint: Path) -> Any:
    return json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))


def epochs_done(checkpoint: Path) -> int:
    """After how many epochs a whole checkpoint was written."""
    return round(float(_state(checkpoint)["epoch"]))


def epochs_when_stopped(checkpoint: Path) -> int | None:
    """After how many epochs training ended, because patience or epochs ran out; None where it did not end.

    A resumed `Trainer` forgets that it had been told to stop, and would train another epoch.
    """
    stopped = _state(checkpoint)["stateful_callbacks"]["TrainerControl"]["args"]["should_training_stop"]
    return epochs_done(checkpoint) if stopped else None
