"""Groups of rows with a table each, in plain Python: the oracle of csrc/codings/row_groups.cpp. A part of rans.py and
huffman.py.
"""

from __future__ import annotations

from collections import Counter

from .frame import read_varint, write_varint
from .rans_model import BYTE, SUM_LOG, Model, log2, read_table

__all__ = ["HOW", "WORTH", "Groups", "group", "of_tables", "put", "read_head", "read_tables", "spans", "whole_rows"]

HOW = 4  # the second byte of such a chunk
MOST = 8  # tables
LEAST_ROW = 64
LEAST_CHUNK = 65536
ROUNDS = 2
STEPS = 64  # of a row's mean cost in a bit
PRICE = 64 * BYTE  # of a table, beside its bytes
ABSENT = 20 << 16
WORTH = 80  # groups must save one part in so many


def whole_rows(row: int) -> int:
    """As many rows of ``row`` bytes together as are not too short; 0 where there are none."""
    return row * -(-LEAST_ROW // row) if row else 0


def spans(n: int, row: int, first: int) -> list[tuple[int, int]]:
    """Where each row of a chunk of n bytes begins and ends."""
    starts = [0, *range(first, n, row)]
    return list(zip(starts, [*starts[1:], n], strict=True))


class Groups:
    """The rows of each table; ``whole`` is what the chunk costs so."""

    def __init__(self, rows: list[bytes], of: list[int], row: int, first: int) -> None:
        self.models = [Model(b"".join(r for r, g in zip(rows, of, strict=True) if g == k)) for k in range(max(of) + 1)]
        self.map = Model(bytes(of))
        self.head = bytes([len(self.models), HOW]) + write_varint(row) + write_varint(first)
        self.parts = [self.map, *self.models]
        self.cost = sum(model.cost for model in self.parts)
        self.whole = sum(model.whole for model in self.parts) + len(self.head) * BYTE


def _costs(f: dict[int, int]) -> list[int]:
    return [(SUM_LOG << 16) - log2(f[s]) if s in f else ABSENT for s in range(256)]


def _sorted(rows: list[bytes], plain: Model) -> list[int]:
    """Rows of about equal mean cost together, in MOST classes of about equally many bytes."""
    cost = _costs(plain.f)
    means = [sum(cost[byte] for byte in row) // (len(row) * (65536 // STEPS)) for row in rows]
    total = sum(map(len, rows))
    sizes: Counter[int] = Counter()
    for mean, row in zip(means, rows, strict=True):
        sizes[mean] += len(row)
    before, at = {}, 0
    for mean in sorted(sizes):
        before[mean] = at
        at += sizes[mean]
    return [MOST * before[mean] // total for mean in means]


def _closed_up(of: list[int]) -> list[int]:
    """The same groups, numbered without gaps."""
    names = {g: k for k, g in enumerate(sorted(set(of)))}
    return [names[g] for g in of]


def _saving(rows: int) -> int:
    return rows * log2(rows)


def _merged(rows: list[bytes], of: list[int]) -> tuple[list[int], list[Model]]:
    """Neighbours merged, the pair that saves most first, while that saves anything."""
    models = [Model(b"".join(r for r, g in zip(rows, of, strict=True) if g == k)) for k in range(max(of) + 1)]
    counts = [of.count(k) for k in range(len(models))]
    while len(models) > 1:
        more = []
        for k in range(len(models) - 1):
            a, b = counts[k : k + 2]
            apart = models[k].whole + models[k + 1].whole + PRICE + _saving(a + b) - _saving(a) - _saving(b)
            more.append(Model(models[k].symbols + models[k + 1].symbols).whole - apart)
        best = more.index(min(more))
        if more[best] > 0:
            break
        models[best : best + 2] = [Model(models[best].symbols + models[best + 1].symbols)]
        counts[best : best + 2] = [sum(counts[best : best + 2])]
        of = [g - (g > best) for g in of]
    return of, models


def _assigned(rows: list[bytes], models: list[Model]) -> list[int]:
    """Each row to the table under which it takes least, in 2**-7 bits, of equal ones the first."""
    costs = [[cost >> 9 for cost in _costs(model.f)] for model in models]
    return [min(range(len(costs)), key=lambda k: sum(costs[k][byte] for byte in row)) for row in rows]


def group(chunk: bytes, start: int, row: int, plain: Model) -> Groups | None:
    """The groups of a chunk that begins at ``start``, or None where one table does as well."""
    first = min(row - start % row, len(chunk))
    rows = [chunk[a:b] for a, b in spans(len(chunk), row, first)]
    if len(rows) < 4 or len(chunk) < LEAST_CHUNK:
        return None
    of, models = _merged(rows, _closed_up(_sorted(rows, plain)))
    for round in range(ROUNDS):
        whole = sum(model.whole for model in models)
        if len(models) < 2 or (round == 0 and whole + whole // (2 * WORTH) > plain.whole):
            return None
        of, models = _merged(rows, _closed_up(_assigned(rows, models)))
    return Groups(rows, of, row, first) if len(models) > 1 else None


def read_head(stored: bytes, n: int, most: int) -> tuple[int, int, int]:
    """Row, at most ``most``, first row, and where what follows them begins. ValueError."""
    if not 2 <= stored[0] <= MOST or stored[1] != HOW:
        raise ValueError("a wrong number of tables")
    row, at = read_varint(stored, 2)
    first, at = read_varint(stored, at)
    if not LEAST_ROW <= row <= most or not 1 <= first <= min(row, n):
        raise ValueError("the lengths of rows are out of range")
    return row, first, at


def read_tables(stored: bytes, n: int) -> tuple[int, int, list[dict[int, int]], int]:
    """Of rANS: row, first row, the tables (the map's, then those of the groups) and where the states begin."""
    row, first, at = read_head(stored, n, 2**20)
    tables = []
    for _ in range(1 + stored[0]):
        f, used = read_table(stored[at:])
        tables.append(f)
        at += used
    return row, first, tables, at


def of_tables(places: list[tuple[int, int]], where: bytes, tables: int) -> list[list[tuple[int, int]]]:
    """The rows of each table; ``where`` names the table of each row. ValueError."""
    if max(where) >= tables:
        raise ValueError("a row has a table that is not there")
    return [[place for place, table in zip(places, where, strict=True) if table == k] for k in range(tables)]


def put(symbols: bytes, rows: list[tuple[int, int]], out: bytearray) -> None:
    """One table's symbols to their rows."""
    at = 0
    for a, b in rows:
        out[a:b] = symbols[at : at + b - a]
        at += b - a
