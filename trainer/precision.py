"""In which numbers a network is trained: bfloat16 where the processor multiplies it by itself, else float32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Precision = Literal["auto", "float32"]

_NATIVE = ("amx_bf16", "avx512_bf16")
"""What processors with units for bfloat16 say of themselves."""


def trains_in_bfloat16(precision: Precision) -> bool:
    """Whether products are computed in bfloat16, weights and sums staying in float32; about twice as fast.

    Args:
        precision: "auto" where a GPU or the processor has units for it; "float32" never.
    """
    import torch

    if precision == "float32":
        return False
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    tell = getattr(torch.cpu, "get_capabilities", None)
    capabilities: Mapping[str, object] = tell() if tell else {}  # older versions of torch do not tell
    return any(bool(capabilities.get(name)) for name in _NATIVE)
