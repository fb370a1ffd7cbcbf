"""rANS' chunks, from section 5 of docs/format.md alone. A part of third_reader.py."""

from __future__ import annotations

from third_bits import Bits, must, rows_head, varint


def frequency_table(bits: Bits) -> dict[int, int]:
    f: dict[int, int] = {}
    length = symbol = 0
    while symbol < 256:
        z = zeros(bits, 24)
        length += -(z + 1) // 2 if z % 2 else z // 2
        must(0 <= length <= 12, "a frequency's length")
        if length:
            f[symbol] = (1 << length - 1) + bits.number(length - 1)
            symbol += 1
        else:
            k = zeros(bits, 8)
            symbol += (1 << k) + bits.number(k)
            must(symbol <= 256, "absent symbols beyond 255")
    must(sum(f.values()) == 4096, "sum of the frequencies")
    return f


def zeros(bits: Bits, most: int) -> int:
    n = 0
    while not bits.bit():
        n += 1
        must(n <= most, "too many zero bits")
    return n


def slots(f: dict[int, int]) -> list[tuple[int, int]]:
    """Symbol and rank of each slot."""
    items = sorted(f) if len(f) <= 16 else list(range(256))
    buckets = 16 if len(f) <= 16 else 256
    c = 4096 // buckets
    rest = {i: f.get(items[i], 0) if i < len(items) else 0 for i in range(buckets)}
    small = [i for i in range(buckets - 1, -1, -1) if rest[i] < c]
    large = [i for i in range(buckets - 1, -1, -1) if rest[i] >= c]
    owners = {i: [i] * c for i in range(buckets)}
    while small:
        i, j = small.pop(), large[-1]
        owners[i] = [i] * rest[i] + [j] * (c - rest[i])
        rest[j] -= c - rest[i]
        if rest[j] < c:
            small.append(large.pop())
    rank = {i: owners[i].count(i) for i in range(buckets)}
    out = []
    for i in range(buckets):
        for at, owner in enumerate(owners[i]):
            if owner == i:
                out.append((items[i], at))
            else:
                out.append((items[owner], rank[owner]))
                rank[owner] += 1
    return out


class Rans:
    """States and words of a chunk."""

    def __init__(self, data: bytes, s: int) -> None:
        count = (1, 8, 32, 128)[s]
        must(4 * count <= len(data), "states end early")
        self.states = [int.from_bytes(data[4 * k : 4 * k + 4], "little") for k in range(count)]
        must(all(state >= 1 << 16 for state in self.states), "a state below 2^16")
        self.data, self.at = data, 4 * count

    def symbols(self, n: int, f: dict[int, int]) -> bytes:
        table = slots(f)
        out = bytearray()
        for i in range(n):
            state = self.states[i % len(self.states)]
            symbol, r = table[state % 4096]
            state = f[symbol] * (state // 4096) + r
            if state < 1 << 16:
                must(self.at + 2 <= len(self.data), "words end early")
                state = state << 16 | int.from_bytes(self.data[self.at : self.at + 2], "little")
                self.at += 2
            self.states[i % len(self.states)] = state
            out.append(symbol)
        return bytes(out)

    def end(self) -> None:
        must(self.at == len(self.data) and set(self.states) == {1 << 16}, "the end of a chunk")


def rans_chunk(chunk: bytes, m: int, s: int, f: dict[int, int] | None) -> bytes:
    at = 0
    if f is None:
        bits = Bits(chunk)
        f = frequency_table(bits)
        at = bits.rest_of_byte()
    coder = Rans(chunk[at:], s)
    out = coder.symbols(m, f)
    coder.end()
    return out


def rows_chunk(chunk: bytes, m: int, s: int) -> bytes:
    count, begins, ends, at = rows_head(chunk, m, 1 << 20)
    tables = []
    for _ in range(1 + count):
        bits = Bits(chunk[at:])
        tables.append(frequency_table(bits))
        at += bits.rest_of_byte()
    coder = Rans(chunk[at:], s)
    of = coder.symbols(len(ends), tables[0])
    must(max(of) < count, "a row's table")
    out = bytearray(m)
    for t in range(count):
        mine = [j for i in range(len(ends)) if of[i] == t for j in range(begins[i], ends[i])]
        for j, symbol in zip(mine, coder.symbols(len(mine), tables[1 + t]), strict=True):
            out[j] = symbol
    coder.end()
    return bytes(out)


def split_chunk(chunk: bytes, m: int, s: int, pair: list[dict[int, int]]) -> bytes:
    fill, how = chunk[0], chunk[1]
    if how == 4:
        return rows_chunk(chunk, m, s)
    must(how < 4, "how a chunk is split")
    k, at = varint(chunk, 2)
    must(1 <= k <= m, "number of survivors")
    size = -(-m // 8)
    if how & 1:
        size, at = varint(chunk, at)
        must(k <= size <= k + m // 255, "number of gaps")
    if how & 2:
        must(pair, "no shared pair")
    else:
        pair = []
        for _ in range(2):
            bits = Bits(chunk[at:])
            pair.append(frequency_table(bits))
            at += bits.rest_of_byte()
    coder = Rans(chunk[at:], s)
    survivors, where = coder.symbols(k, pair[0]), coder.symbols(size, pair[1])
    coder.end()
    if how & 1:
        must(where[-1] < 255, "the last gap")
        stands = []
        position = 0
        for b in where:
            position += b
            if b < 255:
                stands.append(position)
                position += 1
    else:
        bits = Bits(where)
        stands = [i for i in range(8 * size) if bits.bit()]
    must(len(stands) == k and stands[-1] < m, "what the map says")
    out = bytearray([fill]) * m
    for position, survivor in zip(stands, survivors, strict=True):
        out[position] = survivor
    return bytes(out)
