"""Tests of `trainer.classifiers.network`."""

from __future__ import annotations

import pytest

from tests.lazy import Lazy

torch = Lazy("torch")
trains_in_bfloat16 = Lazy("trainer.classifiers.network:trains_in_bfloat16")


def answer(monkeypatch: pytest.MonkeyPatch, *, gpu: bool | None = None, **capabilities: object) -> None:
    """A machine whose GPU (None: it has none) and processor say this of themselves."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bool(gpu))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


@pytest.mark.parametrize("capabilities", [{"amx_bf16": True, "avx512_bf16": False}, {"avx512_bf16": True}])
def test_a_processor_with_units_for_bfloat16_uses_them(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object]
) -> None:
    answer(monkeypatch, **capabilities)
    assert trains_in_bfloat16("auto")
    assert not trains_in_bfloat16("float32")


def test_a_processor_without_them_does_not_emulate_them(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, avx512_f=True, avx512_bf16=False)
    assert not trains_in_bfloat16("auto")


def test_an_older_torch_that_does_not_tell_stays_with_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, avx512_bf16=True)
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not trains_in_bfloat16("auto")


@pytest.mark.parametrize("able", [True, False])
def test_a_gpu_decides_where_there_is_one(monkeypatch: pytest.MonkeyPatch, able: bool) -> None:
    answer(monkeypatch, gpu=able, avx512_bf16=not able)
    assert trains_in_bfloat16("auto") is able
