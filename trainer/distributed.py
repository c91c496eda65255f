"""Which of several processes this is, where `torchrun` or `accelerate launch` started them."""

from __future__ import annotations

import os


def world_size() -> int:
    """How many processes train together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_follower() -> bool:
    """Whether another process leads: evaluates, writes and tracks, while this one only helps to train."""
    return int(os.environ.get("RANK", "0")) > 0
