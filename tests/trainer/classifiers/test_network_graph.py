"""The layers of a graph of 8 bits, and encoders that no graph can express; the graphs are tried in `test_export`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labels.errors import ArtefactError
from tests.lazy import Lazy
from trainer.classifiers.onnx import write_graph

torch = Lazy("torch")
nn = Lazy("torch.nn")
ByteEmbedding = Lazy("trainer.classifiers.network:ByteEmbedding")
Network = Lazy("trainer.classifiers.network:Network")
RowScaledLinear = Lazy("trainer.classifiers.network:RowScaledLinear")


@pytest.mark.parametrize("bias", [True, False])
def test_rows_on_scales_of_their_own_have_the_same_product(bias: bool) -> None:
    torch.manual_seed(1)
    linear = nn.Linear(12, 5, bias=bias)
    rows = torch.randn(3, 4, 12) * torch.tensor([0, 1e-3, 1, 1e3])[:, None]
    torch.testing.assert_close(RowScaledLinear.of(linear)(rows), linear(rows))


def test_rows_are_multiplied_with_a_largest_value_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outlier in one row, so that no scale for all rows would do."""
    seen: list[Any] = []
    multiply = nn.functional.linear
    monkeypatch.setattr(nn.functional, "linear", lambda x, *rest: (seen.append(x), multiply(x, *rest))[1])
    RowScaledLinear(2, 2)(torch.tensor([[1000.0, -1.0], [0.5, -0.25]]))
    assert [row.abs().max().item() for row in seen[0]] == [1, 1]


def test_a_table_of_bytes_is_within_half_a_step_of_the_table() -> None:
    torch.manual_seed(1)
    table = nn.Embedding(9, 16)
    with torch.no_grad():
        table.weight[3] *= 100
        table.weight[4] = 0
    rounded = ByteEmbedding(table)
    ids = torch.arange(9).reshape(3, 3)
    assert rounded.codes.dtype == torch.int8
    steps = table.weight.abs().amax(dim=1) / 127
    errors = (rounded(ids) - table(ids)).abs().amax(dim=2).reshape(-1)
    assert (errors <= steps / 2 + 1e-7).all()
    assert rounded(ids)[1, 1].tolist() == [0] * 16
    torch.testing.assert_close(rounded.weight, rounded(torch.arange(9)))


def undecided() -> Any:
    """An encoder whose computation depends on the numbers that it sees."""

    class Undecided(nn.Module):
        config = SimpleNamespace(hidden_size=4, max_position_embeddings=64)

        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(5, 4)
            self.linear = nn.Linear(4, 4)

        def set_attn_implementation(self, name: str) -> None:
            self.attention = name

        def forward(self, input_ids: Any, attention_mask: Any) -> SimpleNamespace:
            states = self.table(input_ids)
            if states.sum() > 0:
                states = self.linear(states)
            return SimpleNamespace(last_hidden_state=states)

    return Undecided()


def test_an_encoder_that_no_graph_can_express_is_refused_and_stays_as_it_was(isolated: Path) -> None:
    encoder = undecided()
    with pytest.raises(ArtefactError, match=r"\(Undecided\) cannot be written as an ONNX graph \("):
        write_graph(Network(encoder, 2, pooling="mean"), isolated / "model.onnx", int8=True)
    assert (type(encoder.linear), type(encoder.table)) == (nn.Linear, nn.Embedding)
    assert not hasattr(encoder, "attention")
    assert not list(isolated.iterdir())
