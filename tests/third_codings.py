"""Section 5 of docs/format.md, from that page alone: Huffman, rANS, LZW and planes. A part of third_reader.py."""

from __future__ import annotations


class Refused(Exception):
    """The page does not allow this file."""


def must(condition: object, what: str) -> None:
    if not condition:
        raise Refused(what)


class Bits:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def bit(self) -> int:
        must(self.at < 8 * len(self.data), "bits end early")
        bit = self.data[self.at // 8] >> self.at % 8 & 1
        self.at += 1
        return bit

    def number(self, width: int) -> int:
        return sum(self.bit() << i for i in range(width))

    def rest_of_byte(self) -> int:
        """Skips to the next byte, whose index it gives; the bits skipped are zero."""
        while self.at % 8:
            must(self.bit() == 0, "bits after the end")
        return self.at // 8


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(7):
        must(at + i < len(data), "varint ends early")
        byte = data[at + i]
        value |= (byte & 127) << 7 * i
        if byte < 128:
            must(byte or i == 0, "varint is not the shortest")
            return value, at + i + 1
    raise Refused("varint is too long")


def decoded_length(data: bytes) -> tuple[int, int]:
    n, at = varint(data, 0)
    must(n < 1 << 48, "decoded length")
    must(at == len(data) if n == 0 else at < len(data), "bytes after an empty frame, or none after a head")
    return n, at


def frame(data: bytes, coding: int) -> bytes:
    n, at = decoded_length(data)
    if n == 0:
        return b""
    head = data[at]
    at += 1
    c = (head & 15) + 12
    must(c <= 20 and head >> 6 == 0 and (coding == 2 or not head & 32), "head of a frame")
    must(coding in (1, 2) or not head & 16, "a shared table of LZW")
    chunks = n + (1 << c) - 1 >> c
    must(at + 3 * chunks <= len(data), "chunk table ends early")
    entries = [int.from_bytes(data[at + 3 * i : at + 3 * i + 3], "little") for i in range(chunks)]
    at += 3 * chunks
    shared: dict | None = None
    if head & 16:
        bits = Bits(data[at:])
        shared = code_table(bits) if coding == 1 else frequency_table(bits)
        at += bits.rest_of_byte()
    pair: list[dict[int, int]] = []
    for _ in range(2 if head & 32 else 0):
        bits = Bits(data[at:])
        pair.append(frequency_table(bits))
        at += bits.rest_of_byte()
    out = bytearray()
    for i, entry in enumerate(entries):
        kind, s, size = entry & 3, entry >> 2 & 3, (entry >> 4) + 1
        m = min(n - (i << c), 1 << c)
        must(at + size <= len(data), "chunk ends early")
        chunk = data[at : at + size]
        at += size
        split = coding == 2 and kind == 1 and size > 1
        must(s == 0 or split or (kind >= 2 and coding in (1, 2)), "streams of a chunk")
        if kind == 0:
            must(size == m, "a stored chunk's length")
            out += chunk
        elif split:
            must(size < m, "a split chunk's length")
            out += split_chunk(chunk, m, s, pair)
        elif kind == 1:
            must(size == 1, "a filled chunk's length")
            out += chunk * m
        else:
            must(size < m, "a coded chunk's length")
            must(kind == 2 or shared is not None, "no shared table")
            table = shared if kind == 3 else None
            if coding == 1:
                out += huffman_chunk(chunk, m, s, table)
            elif coding == 2:
                out += rans_chunk(chunk, m, s, table)
            else:
                out += lzw_chunk(chunk, m)
    must(at == len(data), "bytes after the last chunk")
    return bytes(out)


def planes(data: bytes) -> bytes:
    n, at = decoded_length(data)
    if n == 0:
        return b""
    c, kind = (data[at] & 15) + 12, data[at] >> 4
    at += 1
    must(c <= 18 and kind <= 9, "head of a frame")
    w = (1, 2, 4, 8, 2, 4, 8, 2, 4, 8)[kind]
    must(n % w == 0, "whole elements")
    chunks = n + (1 << c) - 1 >> c
    must(at + 3 * w * chunks <= len(data), "plane table ends early")
    table = data[at : at + 3 * w * chunks]
    at += 3 * w * chunks
    out = bytearray()
    for i in range(chunks):
        m = min(n - (i << c), 1 << c) // w
        held = []
        for k in range(w):
            entry = int.from_bytes(table[3 * (i * w + k) : 3 * (i * w + k) + 3], "little")
            how, size = entry & 3, (entry >> 4) + 1
            must(entry >> 2 & 3 == 0 and at + size <= len(data), "a plane's entry")
            stored = data[at : at + size]
            at += size
            must(how != 1 or size == 1, "a filled plane's length")
            must(how < 2 or size < m, "a coded plane's length")
            plane = stored * m if how == 1 else frame(stored, how - 1) if how > 1 else stored
            must(len(plane) == m, "a plane's length")
            held.append(plane)
        for j in range(m):
            y = sum(plane[j] << 8 * k for k, plane in enumerate(held))
            out += element(y, kind, 8 * w).to_bytes(w, "little")
    must(at == len(data), "bytes after the last plane")
    return bytes(out)


def element(y: int, kind: int, bits: int) -> int:
    if kind in (4, 5):
        p = bits - 9
        return (y >> p & 1) << bits - 1 | y >> p + 1 << p | y & (1 << p) - 1
    if kind == 6:
        return (y >> 52 & 1) << 63 | (y >> 53 & 7) << 60 | y >> 56 << 52 | y & (1 << 52) - 1
    if kind >= 7:
        return y >> 1 if y & 1 == 0 else (1 << bits) - 1 - (y >> 1)
    return y


def code_table(bits: Bits) -> dict[tuple[int, int], int]:
    """(length, code word) -> symbol."""
    sizes: list[int] = []
    total, previous = 0, 8
    while total < 1 << 12:
        must(len(sizes) < 256, "a symbol above 255")
        if bits.bit() == 0:
            size = previous
        elif bits.bit() == 0:
            size = previous - 1 if bits.bit() else previous + 1
        elif bits.bit() == 0:
            size = bits.number(4)
        else:
            k = 0
            while bits.bit() == 0:
                k += 1
                must(k <= 7, "a run that is too long")
            run = (1 << k) + bits.number(k)
            sizes += [0] * run
            must(len(sizes) <= 256, "a symbol above 255")
            continue
        must(1 <= size <= 12, "a code's length")
        sizes.append(size)
        previous = size
        total += 1 << 12 - size
    must(total == 1 << 12, "the code is not complete")
    words: dict[tuple[int, int], int] = {}
    word, length = 0, 0
    for size, symbol in sorted((size, symbol) for symbol, size in enumerate(sizes) if size):
        word = (word + 1 if words else 0) << size - length
        length = size
        words[size, word] = symbol
    must(len(words) >= 2, "fewer than two symbols")
    return words


def huffman_chunk(chunk: bytes, m: int, s: int, words: dict[tuple[int, int], int] | None) -> bytes:
    at = 0
    if words is None:
        bits = Bits(chunk)
        words = code_table(bits)
        at = bits.rest_of_byte()
    count = (1, 2, 4, 6)[s]
    must(count == 1 or m >= 1024, "too many streams")
    sizes = []
    for _ in range(count - 1):
        size, at = varint(chunk, at)
        sizes.append(size)
    must(at + sum(sizes) <= len(chunk), "streams end early")
    sizes.append(len(chunk) - at - sum(sizes))
    out = bytearray()
    segment = -(-m // count)
    for i, size in enumerate(sizes):
        bits = Bits(chunk[at : at + size])
        at += size
        for _ in range(min(segment, m - i * segment)):
            length = word = 0
            while (length, word) not in words:
                must(length < 12, "no such code word")
                word, length = word << 1 | bits.bit(), length + 1
            out.append(words[length, word])
        must(bits.rest_of_byte() == size, "bytes after a stream")
    return bytes(out)


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
    count = chunk[0]
    must(2 <= count <= 8, "number of tables")
    r, at = varint(chunk, 2)
    first, at = varint(chunk, at)
    must(64 <= r <= 1 << 20 and 1 <= first <= min(r, m), "lengths of rows")
    tables = []
    for _ in range(1 + count):
        bits = Bits(chunk[at:])
        tables.append(frequency_table(bits))
        at += bits.rest_of_byte()
    coder = Rans(chunk[at:], s)
    ends = [*range(first, m, r), m]
    begins = [0, *ends[:-1]]
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


def lzw_chunk(chunk: bytes, m: int) -> bytes:
    bits = Bits(chunk)
    strings = [bytes([i]) for i in range(256)]
    out = bytearray()
    previous = b""
    i = 0
    while len(out) < m:
        below = min(256 + i, 65536)
        width = max(9, (below - 1).bit_length())
        word = bits.number(width)
        must(word < below, "no such code")
        if i and len(strings) < 65536:
            first = previous[:1] if word == len(strings) else strings[word][:1]
            strings.append(previous + first)
        previous = strings[word]
        out += previous
        i += 1
    must(len(out) == m, "a string goes beyond the chunk")
    must(bits.rest_of_byte() == len(chunk), "bytes after the codes")
    return bytes(out)
