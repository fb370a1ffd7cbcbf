"""Round to nearest: each element alone, to the code whose value is nearest; ties to the even code.

The range of each run of elements sets its scale (docs/format.md, section 4), or, with ``range`` "percentile", that of
all but its outliers (McKinstry et al. 2018, arXiv:1809.04191); or, with "mse" or "output", a search over narrower
ranges (Banner et al. 2019, arXiv:1810.05723, search instead of fit): that of the least squared error of the weights, or
of the layer's output as far as each input's strength alone tells it.
"""

from __future__ import annotations

import numpy as np

from ..dtypes import FLOATS, Buffer, to_float32
from ..masks import stored_mask
from ..runs import scale_index
from ..scheme import Integer, Scheme
from ..tensor import Codes, PackedTensor, pack_bytes
from . import grids
from .layer import PLAIN, Settings

__all__ = ["pack"]


def pack(
    data: Buffer,
    dtype: str,
    shape: tuple[int, ...],
    scheme: Scheme,
    *,
    name: str = "tensor",
    settings: Settings = PLAIN,
) -> PackedTensor:
    """Hold a tensor by a scheme; "output" needs ``settings.statistics``, and is as "mse" where there are none."""
    values = scheme.values
    if not isinstance(values, Integer) or settings.range == "minmax" or dtype not in FLOATS or not np.prod(shape):
        return pack_bytes(data, dtype, shape, scheme, name=name)
    rows = (shape[0] if shape else 1, -1)
    x = to_float32(data, dtype).reshape(rows)
    index = scale_index(shape, values).reshape(rows)
    statistics = settings.statistics
    weight = None
    if settings.range == "output" and statistics is not None:
        weight = statistics.strength(shape).reshape(rows)
    mask = stored_mask(x.reshape(shape), scheme, name)
    stored = None if mask is None else mask.reshape(rows)
    if settings.range == "percentile":
        grid = grids.percentile(x, index, values, settings.percentile, stored, name)
    else:
        grid = grids.search(x, index, values, weight, stored, name)
    codes: Codes = grid.codes(x, grid.scales[index], grid.zeros[index]).astype(values.code_dtype)
    return PackedTensor.from_codes(
        codes.reshape(shape), grid.scales, scheme, zeros=grid.stored_zeros, mask=mask, dtype=dtype
    )
