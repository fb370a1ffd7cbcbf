"""Bounded frames, from docs/format.md section 5 alone; the tests hold the core against it."""

from __future__ import annotations

import math
import struct

from third_bits import Bits, must, varint
from third_codings import frame


class Near:
    """Rows of one chunk by number, with what stands in for those that are not there."""

    def __init__(self, length: int, height: int, first: int) -> None:
        self.length, self.height, self.first = length, height, first
        self.v: dict[int, dict[int, int]] = {-1: dict.fromkeys(range(-2, length + 1), 0)}
        self.a: dict[int, dict[int, int]] = {-1: dict.fromkeys(range(-2, length + 1), 0)}

    def of(self, r: int) -> tuple[int, int, int, int, int]:
        """Row numbers of N, NN, P, PN and of P for magnitudes; -1: zeros."""
        place = (self.first + r) % self.height
        up, above = r >= 1 and place >= 1, r >= self.height
        p = r - self.height if above else -1
        n = r - 1 if up else p
        real = p if above else n
        pn = r - 1 - self.height if above and up and r - 1 >= self.height else real
        return n, (r - 2 if r >= 2 and place >= 2 else n), real, pn, p


def signed(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def bounded_chunk(
    chunk: bytes, m: int, near: Near, relative: bool, size: int
) -> tuple[list[int], int, dict[int, bytes]]:
    """The values of a coded chunk, its base, and its exact elements."""
    w = struct.unpack_from("<10h", chunk, 1)
    (bias,) = struct.unpack_from("<i", chunk, 21)
    base, at = (int.from_bytes(chunk[25:33], "little"), 33) if relative else (0, 25)
    exceptions, at = varint(chunk, at)
    raw_bytes, at = varint(chunk, at)
    contexts = chunk[at]
    ends, at = list(chunk[at + 1 : at + contexts]), at + contexts
    must(1 <= contexts <= 12 and [0, *ends, 48] == sorted({0, *ends, 48}), "ends")
    sizes = []
    for _ in range(contexts):
        one, at = varint(chunk, at)
        sizes.append(one)
    tokens = []
    for one in sizes:
        tokens.append(list(reversed(frame(chunk[at : at + one], 2))))
        at += one
    must(sum(map(len, tokens)) == m, "tokens")
    raw, at = Bits(chunk[at : at + raw_bytes]), at + raw_bytes
    length = near.length
    for r in range((m - 1) // length + 1):
        n, nn, p, pn, pa = near.of(r)
        v, a = near.v, near.a
        row, sizes_of = {-1: v[n][0], -2: v[n][0]}, {-1: a[n][0]}
        count = min(length, m - r * length)
        for j in range(count):
            taps = (row[j - 1], row[j - 2], v[n][j], v[nn][j], v[n][j - 1], v[n][j + 1])
            taps += (v[p][j], v[p][j - 1], v[pn][j], v[pn][j - 1])
            prediction = (sum(x * y for x, y in zip(taps, w, strict=True)) + 4096 * bias + 2048) // 4096
            busy = 2 * sizes_of[j - 1] + a[n][j] + a[n][j + 1] + a[pa][j]
            t = busy.bit_length() - 1
            kind = busy if busy < 2 else 2 * t + (busy >> (t - 1)) % 2
            stack = tokens[sum(end <= kind for end in ends)]
            must(stack, "a context has no more tokens")
            token = stack.pop()
            k = (token - 32) // 8 + 2
            u = token if token < 32 else (((8 + token % 8) << k) + raw.number(k)) % 2**32
            residual = signed(-(u + 1) // 2 if u % 2 else u // 2)
            row[j] = signed(prediction + residual)
            sizes_of[j] = min(abs(residual), 2**20)
        row[count], sizes_of[count] = row[count - 1], sizes_of[count - 1]
        v[r], a[r] = row, sizes_of
    must(raw.rest_of_byte() == raw_bytes, "raw bits")
    places, place = [], -1
    for _ in range(exceptions):
        gap, at = varint(chunk, at)
        place += gap + 1
        places.append(place)
    must(len(chunk) == at + exceptions * size and place < m, "exact elements")
    exact = {place: chunk[at + i * size : at + (i + 1) * size] for i, place in enumerate(places)}
    return [near.v[i // length][i % length] for i in range(m)], base, exact


def bounded(data: bytes) -> tuple[tuple[int, ...], bytes]:
    """Shape and little-endian elements of a bounded frame."""
    must(len(data) >= 2 and data[0] < 4 and data[1] <= 8, "head")
    size, relative, at, dims = (8 if data[0] & 1 else 4), bool(data[0] & 2), 2, []
    for _ in range(data[1]):
        dim, at = varint(data, at)
        dims.append(dim)
    n = math.prod(dims)
    if n == 0:
        must(at == len(data), "nothing follows")
        return tuple(dims), b""
    (step,) = struct.unpack_from("<Q" if relative else "<d", data, at)
    at += 8
    real = [1, 1, *(dim for dim in dims if dim != 1)]
    length, height, rows = real[-1], real[-2], 1
    if length == n or length > 2**18:
        length, height = min(n, 2**18), 1
    else:
        rows = min(2**18 // length, 2**15, n // length)
        rows -= rows % height if rows > height else 0
    chunks = -(-n // (rows * length))
    table = struct.unpack_from(f"<{chunks}I", data, at)
    at += 4 * chunks
    must(at + sum(table) == len(data) and min(table) >= 5, "chunk table")
    out = b""
    for i, stored in enumerate(table):
        chunk, at = data[at : at + stored], at + stored
        m = min(rows * length, n - i * rows * length)
        if chunk[0] == 0:
            must(len(chunk) == 1 + m * size, "raw chunk")
            out += chunk[1:]
            continue
        must(chunk[0] == 1, "kind of chunk")
        values, base, exact = bounded_chunk(chunk, m, Near(length, height, i * rows), relative, size)
        for j, v in enumerate(values):
            if j in exact:
                out += exact[j]
            elif relative:
                bits = (abs(v) + base) * step % 2 ** (8 * size - 1) if v else 0
                out += (bits | (v < 0) << (8 * size - 1)).to_bytes(size, "little")
            else:
                out += struct.pack("<f" if size == 4 else "<d", v * step)
    return tuple(dims), out
