"""How many threads a call may use."""

from __future__ import annotations

import os

__all__ = ["check_threads"]

_MOST_THREADS = 64  # csrc/workers.h


def check_threads(threads: int) -> int:
    """1 to 64 of them; 0 stands for one a core. ValueError: a negative number."""
    if threads < 0:
        raise ValueError(f"threads must not be negative, not {threads}")
    return min(threads or os.cpu_count() or 1, _MOST_THREADS)
