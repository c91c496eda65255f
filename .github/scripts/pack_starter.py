"""Pack a model trained on the starter corpus into `seeds/starter.zip`, which ships as the model `starter`.

    communique train experiments/finetune.toml --out runs/starter
    python .github/scripts/pack_starter.py runs/starter

Prints the size, and how much the packed model differs from the trained one on a fifth of the corpus. The exit code is 1
if the labels of more than one sentence in a thousand differ.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from trainer.data.corpus import seed_examples
from trainer.environment import shipped
from trainer.model.model import Model
from trainer.model.starter import FILE, pack, unpack
from trainer.runs.tracking.registry import fetch_artefact

MOST_DIFFERENT = 0.001
"""Largest share of sentences whose labels may change."""


def main() -> None:
    """Pack the model, unpack it again and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", help="folder of a run or an artefact")
    parser.add_argument("--out", type=Path, default=shipped("seeds") / FILE)
    arguments = parser.parse_args()
    artefact = fetch_artefact(arguments.run)
    pack(artefact, arguments.out)
    with tempfile.TemporaryDirectory() as folder:
        unpack(arguments.out, Path(folder) / "artefact")
        packed, trained = Model.load(Path(folder) / "artefact"), Model.load(artefact)
        texts = [example.text for example in seed_examples(trained.codebook).examples[::5]]
        ours, theirs = packed.predict_proba(texts), trained.predict_proba(texts)
    different = (packed.decide(ours) != trained.decide(theirs)).any(axis=1).mean()
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")
    print(f"largest difference in probability: {np.abs(ours - theirs).max():.5f}; labels differ: {different:.2%}")
    sys.exit(int(different > MOST_DIFFERENT))


if __name__ == "__main__":
    main()
