"""Names of the arrays that go from module to module; each place says their shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Probabilities = NDArray[np.float32]
"""As models give them, in [0, 1]."""
