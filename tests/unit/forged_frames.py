"""Frames of a coding that were made by hand: what the core, the oracle and the third reader have to say of them."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import bitpress as bp
from bitpress.codings import CODING_NUMBERS

__all__ = ["agree_on_damage", "decoded", "refused", "third"]


@cache
def third() -> ModuleType:
    """tests/third_codings.py: a reader in plain Python, written from docs/format.md alone."""
    spec = importlib.util.spec_from_file_location("third", Path(__file__).parents[1] / "third_codings.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _oracle(coding: str) -> ModuleType:
    return importlib.import_module(f"bitpress.reference.{coding}")


def decoded(coding: str, blob: bytes) -> bytes:
    """What all three say that the frame holds."""
    found: bytes = getattr(bp, coding).decode(blob)
    assert found == _oracle(coding).decode(blob) == third().frame(blob, CODING_NUMBERS[coding])
    return found


def refused(coding: str, blob: bytes) -> None:
    """All three refuse the frame."""
    with pytest.raises(bp.FormatError):
        getattr(bp, coding).decode(blob)
    with pytest.raises(ValueError, match=r"\w"):
        _oracle(coding).decode(blob)
    with pytest.raises(third().Refused):
        third().frame(blob, CODING_NUMBERS[coding])


def agree_on_damage(coding: str, blob: bytes, flips: int) -> None:
    """Cut anywhere it is refused; with one of the first ``flips`` bits flipped the oracle says what it gives."""
    decode = getattr(bp, coding).decode
    for cut in range(len(blob)):
        with pytest.raises(bp.FormatError):
            decode(blob[:cut], max_size=10_000)
    for bit in range(flips):
        broken = bytearray(blob)
        broken[bit // 8] ^= 1 << bit % 8
        try:
            theirs = _oracle(coding).decode(bytes(broken))
        except ValueError:
            with pytest.raises(bp.FormatError):
                decode(bytes(broken), max_size=10_000)
        else:
            assert decode(bytes(broken)) == theirs
