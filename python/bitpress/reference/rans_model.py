"""The model of rANS in plain Python: frequencies, their cost, their compact form and their slots. A part of rans.py."""

from __future__ import annotations

from collections import Counter

from .frame import BitReader, BitWriter

__all__ = ["BYTE", "SUM", "SUM_LOG", "Model", "cost", "frequencies", "log2", "read_table", "slots", "write_table"]

SUM_LOG = 12
SUM = 2**SUM_LOG
CANNOT = 2**62
BYTE = 8 << 16  # the cost of one


def frequencies(counts: dict[int, int]) -> dict[int, int]:
    """Whole frequencies of sum 4096, at least 1 each; a symbol that is alone leaves a slot to another one."""
    total = sum(counts.values())
    if len(counts) == 1:
        (alone,) = counts
        return dict(sorted({alone: SUM - 1, 0 if alone else 1: 1}.items()))
    f = {s: max(1, (counts[s] * SUM + total // 2) // total) for s in sorted(counts)}
    while (gap := SUM - sum(f.values())) != 0:
        best = None
        for s in f:
            if gap < 0 and f[s] == 1:
                continue
            middle = 2 * f[s] + 1 if gap > 0 else 2 * f[s] - 1
            if best is None:
                best = (counts[s], middle, s)
                continue
            here, there = counts[s] * best[1], best[0] * middle
            if here > there if gap > 0 else here < there:
                best = (counts[s], middle, s)
        assert best is not None
        f[best[2]] += 1 if gap > 0 else -1
    return f


def log2(value: int) -> int:
    """log2 * 65536, rounded down, by repeated squaring of a 31-bit mantissa."""
    whole = value.bit_length() - 1
    mantissa, digits = value << (31 - whole), 0
    for _ in range(16):
        mantissa = mantissa * mantissa >> 31
        digits *= 2
        if mantissa >> 32:
            mantissa >>= 1
            digits += 1
    return (whole << 16) + digits


def cost(counts: dict[int, int], f: dict[int, int]) -> int:
    """Bits that the counted symbols take under the frequencies, times 65536; CANNOT where one has none."""
    if counts.keys() - f.keys():
        return CANNOT
    return sum(n * ((SUM_LOG << 16) - log2(f[s])) for s, n in counts.items())


def write_table(f: dict[int, int]) -> bytes:
    """The compact form of the frequencies."""
    bits, before, symbol = BitWriter(), 0, 0
    while symbol < 256:
        value = f.get(symbol, 0)
        length = value.bit_length()
        zigzag = 2 * (length - before) if length >= before else 2 * (before - length) - 1
        bits.put(1 << zigzag, zigzag + 1)
        before = length
        run = 1
        if length:
            bits.put(value - (1 << (length - 1)), length - 1)
        else:
            while symbol + run < 256 and not f.get(symbol + run):
                run += 1
            digits = run.bit_length() - 1
            bits.put(1 << digits, digits + 1)
            bits.put(run - (1 << digits), digits)
        symbol += run
    return bits.bytes()


def _unary(bits: BitReader, limit: int) -> int:
    zeros = 0
    while bits.take(1) == 0:
        zeros += 1
        if zeros > limit:
            raise ValueError("a unary number is too long")
    return zeros


def read_table(data: bytes) -> tuple[dict[int, int], int]:
    """The frequencies at the front of ``data``, and how many bytes they take."""
    bits, f, length, symbol = BitReader(data), dict[int, int](), 0, 0
    while symbol < 256:
        zigzag = _unary(bits, 2 * SUM_LOG)
        length += zigzag // 2 if zigzag % 2 == 0 else -(zigzag + 1) // 2
        if not 0 <= length <= SUM_LOG:
            raise ValueError("a frequency's length is out of range")
        if length:
            f[symbol] = (1 << (length - 1)) + bits.take(length - 1)
            symbol += 1
            continue
        digits = _unary(bits, 8)
        symbol += (1 << digits) + bits.take(digits)
        if symbol > 256:
            raise ValueError("a run of absent symbols is too long")
    used = bits.finish()
    if sum(f.values()) != SUM:
        raise ValueError("the frequencies have a wrong sum")
    return f, used


def slots(f: dict[int, int]) -> list[tuple[int, int]]:
    """(symbol, rank) of each of the 4096 slots: the alias method over 16 or 256 buckets."""
    symbols = sorted(f) if len(f) <= 16 else list(range(256))
    count = 16 if len(f) <= 16 else 256
    size = SUM // count
    rest = [f.get(s, 0) for s in symbols] + [0] * (count - len(symbols))
    own, alias = [size] * count, list(range(count))
    small = [i for i in reversed(range(count)) if rest[i] < size]
    large = [i for i in reversed(range(count)) if rest[i] >= size]
    while small:
        i, j = small.pop(), large[-1]
        own[i], alias[i] = rest[i], j
        rest[j] -= size - rest[i]
        if rest[j] < size:
            small.append(large.pop())
    following, out = list(own), []
    for i in range(count):
        out += [(symbols[i], rank) for rank in range(own[i])]
        for _ in range(size - own[i]):
            out.append((symbols[alias[i]], following[alias[i]]))
            following[alias[i]] += 1
    return out


class Model:
    """A sequence of symbols and the frequencies made for it, or for other counts."""

    def __init__(self, symbols: bytes, counts: dict[int, int] | None = None) -> None:
        self.symbols = symbols
        self.counts = counts or dict(Counter(symbols))
        self.f = frequencies(self.counts)
        self.table = write_table(self.f)
        self.cost = cost(self.counts, self.f)
        self.whole = self.cost + len(self.table) * BYTE
