"""A logged model in Spark: `mlflow.pyfunc.spark_udf` gives the same labels and probabilities as `communique predict`.

    python experiments/benchmarks/spark_udf.py MODEL --work /tmp/spark

MODEL is an MLflow URI (models:/NAME@champion), or the folder of a run, which is logged to a new MLflow store in the
work folder. Spark needs the extra `spark` and a Java runtime (in Debian: `apt-get install default-jre-headless`).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from labels.text.documents import find_files, read_file
from labels.text.sentences import split_sentences
from trainer.environment import shipped, silence_libraries
from trainer.model.model import Model

SCHEMA = "labels array<string>, probabilities map<string, double>"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    silence_libraries()
    arguments.work.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.work)
    uri, folder = logged(arguments.model)
    texts = sentences(arguments.sentences)
    begun = time.perf_counter()
    rows = in_spark(uri, texts)
    seconds = time.perf_counter() - begun
    model = Model.load(folder)
    probabilities = model.predict_proba(texts)
    largest = 0.0
    for row, expected, own in zip(rows, model.label_sets(probabilities), probabilities, strict=True):
        assert list(row["labels"]) == list(expected), row
        largest = max(
            largest, *(abs(row["probabilities"][name] - p) for name, p in zip(model.labels, own, strict=True))
        )
    print(json.dumps({"sentences": len(rows), "seconds": seconds, "same_labels": True, "largest_difference": largest}))
    if largest > 1e-5:
        raise SystemExit("the probabilities differ by more than 1e-5")


def logged(model: str) -> tuple[str, Path]:
    """The URI of a model in MLflow, and the folder of its artefact."""
    from trainer.runs.tracking.registry import fetch_artefact

    folder = fetch_artefact(model)
    if model.startswith(("models:/", "runs:/")):
        return model, folder
    import mlflow

    from trainer.runs.tracking.tracker import log_model

    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    with mlflow.start_run():
        return log_model(folder), folder


def sentences(count: int) -> list[str]:
    """Sentences of the starter corpus."""
    documents = (one for file in find_files([shipped("seeds") / "documents"]).files for one in read_file(file, print))
    found = (one.text for document in documents for one in split_sentences(document) if not one.boilerplate)
    return [text for text, _ in zip(found, range(count), strict=False)]


def in_spark(uri: str, texts: list[str]) -> list[Any]:
    """Predict with two Spark tasks on this machine; returns rows in the order of the texts."""
    import mlflow
    from pyspark.sql import SparkSession, functions

    session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    label = mlflow.pyfunc.spark_udf(session, uri, result_type=SCHEMA, env_manager="local")
    frame = session.createDataFrame(list(enumerate(texts)), "number int, text string").repartition(2)
    predicted = frame.withColumn("predicted", label(functions.struct("text")))
    rows: list[Any] = predicted.orderBy("number").select("predicted.*").collect()
    session.stop()
    return rows


if __name__ == "__main__":
    main()
