from __future__ import annotations

import asyncio
import threading

import pytest

from labels.environment.progress import progress_stage, progress_to, report_progress
from tests.conftest import progress_reports


def test_reports_go_nowhere_without_a_sink() -> None:
    with progress_reports() as reports:
        pass
    report_progress("Reading", 1, 2)
    assert reports == []


def test_nested_stages_are_named_from_the_outside_in() -> None:
    with progress_reports() as reports:
        with progress_stage("tfidf"), progress_stage("Fold 2 of 5"):
            report_progress("Training", 1, 4)
        report_progress("Training", 2, 4)
    assert reports == [("tfidf: Fold 2 of 5: Training", 1, 4), ("Training", 2, 4)]


def test_an_inner_block_can_be_silenced() -> None:
    with progress_reports() as reports:
        with progress_to(None):
            report_progress("Training", 1, 1)
        report_progress("Trials", 1, 4)
    assert reports == [("Trials", 1, 4)]


def test_the_sink_is_released_after_an_error() -> None:
    with pytest.raises(KeyboardInterrupt), progress_reports() as reports, progress_stage("Outer"):
        raise KeyboardInterrupt
    report_progress("Training", 1, 1)
    with progress_reports() as later:
        report_progress("Training", 1, 1)
    assert (reports, later) == ([], [("Training", 1, 1)])


def test_an_error_of_the_sink_reaches_the_caller() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), progress_to(interrupt):
        report_progress("Training", 1, 1)


def test_asyncio_tasks_inherit_the_sink_and_threads_do_not() -> None:
    async def in_task() -> None:
        await asyncio.create_task(report("Task"))

    async def report(stage: str) -> None:
        report_progress(stage, 1, 1)

    with progress_reports() as reports:
        asyncio.run(in_task())
        thread = threading.Thread(target=report_progress, args=("Thread", 1, 1))
        thread.start()
        thread.join()
    assert reports == [("Task", 1, 1)]
