"""Pruning after training: a tensor with zeros, by a rule's score and structure."""

from __future__ import annotations

import numpy as np

from ..dtypes import FLOATS, Buffer, array_bytes, from_float32, to_float32
from ..errors import SchemeError
from ..recipe import Rule
from ..scheme import Scheme, Structure
from . import magnitude, sparsegpt, wanda
from .layer import Settings, Statistics
from .patterns import kept

__all__ = ["prune"]


def prune(
    data: Buffer,
    dtype: str,
    shape: tuple[int, ...],
    scheme: Scheme,
    rule: Rule,
    *,
    border: magnitude.Border | None = None,
    statistics: Statistics | None = None,
    name: str = "tensor",
) -> memoryview:
    """The tensor's little-endian bytes with those weights at +0 that the rule's sparsity or threshold takes.

    Ranked by ``rule.score``; by magnitude where nothing is known of the layer's inputs. N:M and blocks are those of
    ``scheme``. Counts are exact: see `magnitude`, `patterns`, `wanda`, `sparsegpt`. SchemeError for NaN, infinity and
    dtypes that are not floating.
    """
    patterned = scheme.structure in (Structure.NM, Structure.BLOCK)
    by_magnitude = rule.score == "magnitude" or statistics is None
    if rule.threshold is not None or (by_magnitude and not patterned):
        elements = np.frombuffer(data, np.uint8)
        pruned = magnitude.prune_elements(
            elements, dtype, sparsity=rule.sparsity, threshold=rule.threshold, border=border, name=name
        )
        return array_bytes(pruned)
    if dtype not in FLOATS:
        raise SchemeError(f"{name}: pruning takes {', '.join(FLOATS)}, not {dtype}")
    w = to_float32(data, dtype).reshape(shape)
    if not np.isfinite(w).all():
        raise SchemeError(f"{name}: NaN or infinity cannot be ranked")
    assert rule.sparsity is not None
    if by_magnitude:
        stays = kept(np.square(w.astype(np.float64)), scheme, rule.sparsity, name)
    elif rule.score == "wanda":
        assert statistics is not None
        stays = wanda.stays(w, scheme, rule.sparsity, statistics, name)
    else:
        assert statistics is not None
        settings = Settings.of(rule, statistics)
        w, stays = sparsegpt.pruned(w, scheme, rule.sparsity, statistics, settings, name)
        return array_bytes(from_float32(np.where(stays, w, np.float32(0)).reshape(-1), dtype))
    elements = np.array(np.frombuffer(data, f"u{len(memoryview(data).cast('B')) // max(w.size, 1)}"))
    elements[~stays.reshape(-1)] = 0
    return array_bytes(elements)
