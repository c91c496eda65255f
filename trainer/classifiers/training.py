"""The training loop of transformers' `Trainer`, set up for small labelled sets on one CPU or GPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from trainer.classifiers.network import Network

if TYPE_CHECKING:
    from trainer.classifiers.base import Progress
    from trainer.config import FinetuneSection

_SCORE = "score"


class _TwoRateTrainer(Trainer):  # type: ignore[misc]
    """A `Trainer` whose head learns at a rate of its own."""

    def __init__(self, *args: Any, head_learning_rate: float, **kwargs: Any) -> None:
        self._head_learning_rate = head_learning_rate
        super().__init__(*args, **kwargs)

    def create_optimizer(self, *_: Any, **__: Any) -> torch.optim.Optimizer:
        """AdamW in two groups; weight decay spares biases and normalisation."""
        groups = []
        for prefix, rate in (("encoder.", self.args.learning_rate), ("head.", self._head_learning_rate)):
            named = [(n, p) for n, p in self.model.named_parameters() if n.startswith(prefix) and p.requires_grad]
            decayed = [p for n, p in named if p.ndim > 1]
            spared = [p for n, p in named if p.ndim <= 1]
            groups += [
                {"params": decayed, "lr": rate, "weight_decay": self.args.weight_decay},
                {"params": spared, "lr": rate, "weight_decay": 0.0},
            ]
        self.optimizer = torch.optim.AdamW(groups, fused=True)
        return self.optimizer


class _ProgressCallback(TrainerCallback):  # type: ignore[misc]
    """Tells a progress function how many steps are done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._progress(state.global_step, state.max_steps)


def train_network(
    network: Network,
    tokenizer: Any,
    train: Any,
    validation: Any,
    *,
    section: FinetuneSection,
    epochs: int,
    seed: int,
    exclusive: bool,
    folder: Path,
    progress: Progress | None,
) -> float:
    """Train `network` in place and leave it with the weights of its best epoch; returns that epoch.

    Args:
        train, validation: tokenised `datasets.Dataset`s with `labels`.
        folder: for checkpoints; empty, and of no use afterwards.
    """
    callbacks: list[TrainerCallback] = [EarlyStoppingCallback(early_stopping_patience=section.patience)]
    if progress is not None:
        callbacks.append(_ProgressCallback(progress))
    trainer = _TwoRateTrainer(
        model=network,
        args=_arguments(section, epochs, seed, folder),
        train_dataset=train,
        eval_dataset=validation,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda outcome: {_SCORE: validation_score(outcome.predictions, outcome.label_ids, exclusive)},
        callbacks=callbacks,
        head_learning_rate=section.head_learning_rate,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return _best_epoch(trainer.state)


def validation_score(logits: Any, gold: Any, exclusive: bool) -> float:
    """What decides between epochs, in [0, 1]: macro-F1, or average precision averaged over labels that occur."""
    from sklearn.metrics import average_precision_score, f1_score

    if exclusive:
        return float(f1_score(gold, np.argmax(logits, axis=1), average="macro", zero_division=0))
    present = np.asarray(gold).any(axis=0)
    if not present.any():
        return 0.0
    return float(average_precision_score(np.asarray(gold)[:, present], np.asarray(logits)[:, present], average="macro"))


def _arguments(section: FinetuneSection, epochs: int, seed: int, folder: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=section.batch_size,
        per_device_eval_batch_size=32,
        learning_rate=section.learning_rate,
        weight_decay=section.weight_decay,
        warmup_steps=section.warmup,
        lr_scheduler_type="linear",
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        save_only_model=True,
        load_best_model_at_end=True,
        metric_for_best_model=_SCORE,
        greater_is_better=True,
        label_names=["labels"],
        remove_unused_columns=False,
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        dataloader_pin_memory=torch.cuda.is_available(),
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,
    )


def _best_epoch(state: Any) -> float:
    epochs = {row["step"]: row["epoch"] for row in state.log_history if f"eval_{_SCORE}" in row}
    return float(epochs.get(state.best_global_step, state.epoch))
