"""rANS in plain Python: the oracle of csrc/codings/rans.cpp, byte for byte. Malformed input: ValueError.

Sources: Duda, "Asymmetric numeral systems" (2009); Giesen, "Interleaved entropy coders" (2014); Vose 1991 (aliases).
"""

from __future__ import annotations

from collections import Counter

from .frame import CODED, CODED_SHARED, STORED, BitReader, BitWriter, decode_frame, write_frame

__all__ = ["decode", "encode", "frequencies", "read_table", "slots", "write_table"]

SUM_LOG = 12
SUM = 2**SUM_LOG
LOWEST = 2**16
CHUNK_LOG = 20
STATES = (1, 8, 32, 128)
LEAST = (0, 2048, 16384, 131072)  # coded bytes


def states_log(cost: int) -> int:
    """Which number of states the encoder takes for a chunk of this cost (2**-16 bits)."""
    return max(log for log in range(4) if cost >> 19 >= LEAST[log])


def frequencies(counts: dict[int, int]) -> dict[int, int]:
    """Whole frequencies of sum 4096, at least 1 each; two symbols at least."""
    total = sum(counts.values())
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


def _log2(value: int) -> int:
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


def _cost(counts: dict[int, int], f: dict[int, int]) -> int:
    return sum(n * ((SUM_LOG << 16) - _log2(f[s])) for s, n in counts.items())


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


def _encode_with(chunk: bytes, f: dict[int, int], states: int) -> bytes:
    slot_of = {pair: slot for slot, pair in enumerate(slots(f))}
    x, words = [LOWEST] * states, []
    for i in reversed(range(len(chunk))):
        symbol, state = chunk[i], x[i % states]
        if state >= f[symbol] << 20:
            words.append(state % 65536)
            state >>= 16
        x[i % states] = state // f[symbol] * SUM + slot_of[symbol, state % f[symbol]]
    return b"".join(v.to_bytes(4, "little") for v in x) + b"".join(v.to_bytes(2, "little") for v in reversed(words))


def encode(data: bytes) -> bytes:
    """A frame: the very bytes that the native encoder writes."""
    shared: dict[int, int] = {}
    if len(data) > 2**CHUNK_LOG and len(set(data)) > 1:
        shared = frequencies(Counter(data))

    def encode_chunk(chunk: bytes, may_share: bool) -> tuple[int, int, bytes]:
        if len(chunk) == 1:
            return STORED, 0, chunk
        counts = Counter(chunk)
        own = frequencies(counts)
        table = write_table(own)
        cost = _cost(counts, own)
        if may_share and (shared_cost := _cost(counts, shared)) <= cost + (8 * len(table) << 16):
            log = states_log(shared_cost)
            return CODED_SHARED, log, _encode_with(chunk, shared, STATES[log])
        log = states_log(cost)
        return CODED, log, table + _encode_with(chunk, own, STATES[log])

    return write_frame(data, CHUNK_LOG, write_table(shared) if shared else b"", encode_chunk)


def _decode_chunk(stored: bytes, log: int, decoded: int, f: dict[int, int]) -> bytes:
    states, at, meaning, out = STATES[log], 4 * STATES[log], slots(f), bytearray()
    if len(stored) < at:
        raise ValueError("the states are cut off")
    x = [int.from_bytes(stored[4 * k : 4 * k + 4], "little") for k in range(states)]
    if min(x) < LOWEST:
        raise ValueError("a state is too small")
    for i in range(decoded):
        state = x[i % states]
        symbol, rank = meaning[state % SUM]
        state = f[symbol] * (state // SUM) + rank
        if state < LOWEST:
            if at + 2 > len(stored):
                raise ValueError("the words end too early")
            state = state * 65536 + int.from_bytes(stored[at : at + 2], "little")
            at += 2
        x[i % states] = state
        out.append(symbol)
    if at != len(stored) or set(x) != {LOWEST}:
        raise ValueError("the chunk does not end where it must")
    return bytes(out)


def decode(blob: bytes) -> bytes:
    """The bytes that a frame holds."""
    return decode_frame(blob, read_table, _decode_chunk)
