"""The notebooks under experiments/guides run from the first cell to the last, and are stored without outputs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.trainer.conftest import aside

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "experiments/guides").glob("*.ipynb"))
FEWEST_CELLS = 5


def test_there_are_four_guides() -> None:
    names = [path.stem for path in GUIDES]
    assert names == ["first_model", "from_store_to_model", "own_codebook", "reading_a_report"]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotebookClient]:
    """One kernel for all guides: its start, and what they all import, take most of the time."""
    client = NotebookClient(nbformat.v4.new_notebook(), timeout=300)
    with aside(tmp_path_factory.mktemp("kernel")) as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "trainer/_door")]))
        patch.setenv("OMP_NUM_THREADS", "1")
        with client.setup_kernel(cleanup_kc=True):
            yield client


@pytest.mark.slow
@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_guide_runs_in_an_empty_folder(path: Path, isolated: Path, kernel: NotebookClient) -> None:
    notebook = nbformat.read(path, as_version=4)
    fresh = nbformat.v4.new_code_cell(f"import os\nos.chdir({str(isolated)!r})\n%reset -f")
    notebook.cells.insert(0, fresh)
    kernel.nb = notebook
    kernel.reset_execution_trackers()
    for number, cell in enumerate(notebook.cells):
        kernel.execute_cell(cell, number)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert len(outputs) >= FEWEST_CELLS
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_a_guide_is_stored_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in code] == [([], None)] * len(code)
