"""Cut two public sets of real sentences into halves: the first for choices, the last for one final audit.

    python experiments/benchmarks/news_halves.py FOLDER --out POOLS

FOLDER holds `un_quadclass.{en,es,ar}.{train,test}.jsonl` and `disaster_news.jsonl`. Equal texts and near-duplicates, in
any language, are on the same side of the cut, and a translation is on the side of its original. POOLS, a folder outside
the repository, receives the sorted ids of each half, and the English texts of the first halves only. The script never
prints a text. It prints, and writes to `--report`, size and hash of each half: SHA-256 of the sorted ids, one a line.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from labels.text.duplicates import near_duplicate_clusters
from labels.unicode import search_form

SEED = 20
LANGUAGES = ("en", "es", "ar")
POOLS = {
    "un_quadclass": [[f"un_quadclass.{language}.{part}.jsonl" for part in ("train", "test")] for language in LANGUAGES],
    "disaster_news": [["disaster_news.jsonl"]],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the public sets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the ids, outside the repository")
    parser.add_argument("--report", type=Path, default=Path("experiments/results/news_halves.md"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for pool, versions in POOLS.items():
        texts = [read_texts(arguments.folder, files) for files in versions]
        if any(set(other) != set(texts[0]) for other in texts):
            parser.error(f"{pool}: the languages do not have the same ids")
        groups = cut_groups(texts)
        halves = cut(groups)
        for half, ids in halves.items():
            listing = "".join(f"{name}\n" for name in ids)
            (arguments.out / f"{pool}_{half}.txt").write_text(listing, encoding="utf-8")
            digest = hashlib.sha256(listing.encode()).hexdigest()
            rows.append(f"| {pool} | {half} | {len(ids):,} | {len(groups):,} | `{digest}` |")
        first = [
            json.dumps({"id": name, "text": texts[0][name]}, ensure_ascii=False) + "\n" for name in halves["first"]
        ]
        (arguments.out / f"{pool}_first.jsonl").write_text("".join(first), encoding="utf-8")
    print("\n".join(rows))
    arguments.report.write_text(report(rows), encoding="utf-8")


def read_texts(folder: Path, files: Sequence[str]) -> dict[str, str]:
    """Return the texts of one language by id."""
    lines = (line for name in files for line in (folder / name).read_text(encoding="utf-8").splitlines())
    return {row["example_id"]: row["text"] for row in map(json.loads, lines)}


def cut_groups(versions: Sequence[dict[str, str]]) -> list[list[str]]:
    """Group ids whose texts are equal or near-duplicates in at least one language; return sorted groups in order."""
    from scipy.cluster.hierarchy import DisjointSet

    ids = sorted(versions[0])
    sets = DisjointSet(ids)
    for texts in versions:
        by_key: defaultdict[object, list[str]] = defaultdict(list)
        for name, cluster in zip(ids, near_duplicate_clusters([texts[name] for name in ids]), strict=True):
            by_key[cluster].append(name)
            by_key[search_form(texts[name])].append(name)  # near-duplicates have at least eight words
        for own in by_key.values():
            for name in own[1:]:
                sets.merge(own[0], name)
    return sorted(sorted(own) for own in sets.subsets())


def cut(groups: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Shuffle the groups and give each to the half that has fewer ids so far; return the sorted ids of each half."""
    halves: dict[str, list[str]] = {"first": [], "last": []}
    for own in random.Random(SEED).sample(groups, len(groups)):
        min(halves.values(), key=len).extend(own)
    return {half: sorted(ids) for half, ids in halves.items()}


def report(rows: Sequence[str]) -> str:
    """Return the page with the sizes and hashes of the halves."""
    return "\n".join(
        [
            "# The cut of the real sentences",
            "",
            "Two public sets were cut into halves by near-duplicate cluster, shared across languages, before any of",
            "their sentences was read for this purpose. The first halves may be read and used for choices. The last",
            "halves are read once, for the final audit, and are never used for choices. Neither texts nor ids are part",
            "of this repository; the hash is the SHA-256 of the sorted ids, one a line.",
            "",
            "    python experiments/benchmarks/news_halves.py FOLDER --out POOLS",
            "",
            "| set | half | sentences | clusters in the set | hash of the ids |",
            "| --- | --- | ---: | ---: | --- |",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
