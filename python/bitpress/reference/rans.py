"""rANS in plain Python: the oracle of csrc/codings/rans.cpp, byte for byte. Malformed input: ValueError.

Sources: Duda, "Asymmetric numeral systems" (2009); Giesen, "Interleaved entropy coders" (2014); Vose 1991 (aliases).
"""

from __future__ import annotations

from collections import Counter

from . import rans_rows
from .frame import (
    CODED,
    CODED_SHARED,
    FILL,
    STORED,
    BitWriter,
    Chunk,
    decode_frame,
    read_varint,
    write_frame,
    write_varint,
)
from .rans_model import BYTE, SUM, Model, cost, frequencies, read_table, slots, write_table

__all__ = ["cost", "decode", "encode", "frequencies", "read_table", "slots", "write_table"]

LOWEST = 2**16
CHUNK_LOG = 20
STATES = (1, 8, 32, 128)
LEAST = (0, 2048, 16384, 131072)  # coded bytes
BITMAP, GAPS, SHARED = 0, 1, 2  # kinds of a split chunk's map; added where its tables are the frame's
ESCAPE = 255
LEAST_FOR_ESTIMATE = 2**19


def states_log(cost: int) -> int:
    """Which number of states the encoder takes for a chunk of this cost (2**-16 bits)."""
    return max(log for log in range(4) if cost >> 19 >= LEAST[log])


def estimate(chunk: bytes) -> dict[int, int] | None:
    """Counts of a large chunk from an eighth of it; None where they have to be exact."""
    if len(chunk) < LEAST_FOR_ESTIMATE:
        return None
    blocks = len(chunk) // 4096
    seen = Counter(b"".join(chunk[4096 * b + (b + b // 8) % 8 * 512 :][:512] for b in range(blocks)))
    if 16 * max(seen.values()) >= 7 * 512 * blocks:
        return None
    return {s: 8 * seen[s] if s in seen else n for s, n in Counter(chunk).items()}


def _write(sequences: list[tuple[bytes, dict[int, int]]], log: int) -> bytes:
    """States and words of one sequence after the other; encoded from the last symbol to the first."""
    x, words = [LOWEST] * STATES[log], []
    for symbols, f in reversed(sequences):
        slot_of = {pair: slot for slot, pair in enumerate(slots(f))}
        for i in reversed(range(len(symbols))):
            symbol, state = symbols[i], x[i % len(x)]
            if state >= f[symbol] << 20:
                words.append(state % 65536)
                state >>= 16
            x[i % len(x)] = state // f[symbol] * SUM + slot_of[symbol, state % f[symbol]]
    return b"".join(v.to_bytes(4, "little") for v in x) + b"".join(v.to_bytes(2, "little") for v in reversed(words))


def bitmap_of(chunk: bytes, fill: int) -> bytes:
    """One bit a byte, set where it is not ``fill``."""
    bits = BitWriter()
    bits.put_bits("".join("01"[byte != fill] for byte in chunk))
    return bits.bytes()


def gaps_of(chunk: bytes, fill: int) -> bytes:
    """For each byte that is not ``fill``, how many before it are."""
    out, gap = bytearray(), 0
    for byte in chunk:
        if byte == fill:
            gap += 1
            continue
        out += bytes([ESCAPE] * (gap // ESCAPE) + [gap % ESCAPE])
        gap = 0
    return bytes(out)


class _Split:
    """A chunk as the bytes that are not its most frequent one, and where they stand."""

    def __init__(self, chunk: bytes, counts: dict[int, int]) -> None:
        n, self.fill = len(chunk), max(sorted(counts), key=counts.__getitem__)
        self.survivors = Model(bytes(byte for byte in chunk if byte != self.fill))
        self.kind, self.map = BITMAP, Model(bitmap_of(chunk, self.fill))
        survivors = len(self.survivors.symbols)
        if survivors <= n // 4:
            gaps, bitmap = Model(gaps_of(chunk, self.fill)), self.map.whole
            if survivors <= n // 256:
                most = bitmap + bitmap // 8
            else:
                most = bitmap + bitmap // 64 if survivors <= n // 12 else bitmap - bitmap // 16
            if gaps.whole <= most:
                self.kind, self.map = GAPS, gaps
        self.head = write_varint(survivors) + (write_varint(len(self.map.symbols)) if self.kind == GAPS else b"")
        self.cost = self.survivors.cost + self.map.cost
        self.whole = self.survivors.whole + self.map.whole + (2 + len(self.head)) * BYTE


class _Analysis:
    """What may be done with a chunk of two bytes or more that are not all equal."""

    def __init__(self, chunk: bytes, may_estimate: bool = True) -> None:
        estimated = estimate(chunk) if may_estimate else None
        self.estimated = estimated is not None
        self.plain = Model(chunk, estimated)
        may_split = not estimated and max(self.plain.counts.values()) >= len(chunk) // 2
        self.split = _Split(chunk, self.plain.counts) if may_split else None

    def splits(self, plain: int, split: int) -> bool:
        return self.split is not None and split <= plain + plain // 128


class _Encoder:
    def __init__(self, data: bytes, row: int) -> None:
        self.row = rans_rows.whole_rows(row) if row <= 2**CHUNK_LOG else 0
        self.shared: list[dict[int, int]] = []
        self.shared_kind = -1  # that of the map, where the tables are those of a split chunk
        self.table = b""
        first = data[: 2**CHUNK_LOG]
        if len(data) == len(first) or len(set(first)) == 1:
            return
        it = _Analysis(first, may_estimate=not self.row)
        if it.split and it.splits(it.plain.whole, it.split.whole):
            self.shared_kind = it.split.kind
            models = [it.split.survivors, it.split.map]
        else:
            models = [it.plain]
        self.shared = [model.f for model in models]
        self.table = b"".join(model.table for model in models)

    def chunk(self, start: int, chunk: bytes, may_share: bool) -> tuple[int, int, bytes]:
        """An encode_chunk of ``write_frame``."""
        if len(chunk) == 1:
            return STORED, 0, chunk
        it = _Analysis(chunk, may_estimate=not self.row)
        result, overall = self.coded(chunk, it, may_share, start)
        size = len(result[2])
        if it.estimated and (size >= len(chunk) or size * BYTE > overall + overall // 64):
            result, _ = self.coded(chunk, _Analysis(chunk, may_estimate=False), may_share, start)
        return result

    def coded(self, chunk: bytes, it: _Analysis, may_share: bool, start: int) -> tuple[tuple[int, int, bytes], int]:
        """The chunk, and what it was taken to cost in all."""
        groups = rans_rows.group(chunk, start, self.row, it.plain) if self.row else None
        plain, split = it.plain, it.split
        plain_cost, plain_whole, plain_shares = plain.cost, plain.whole, False
        if may_share and self.shared_kind < 0 and (shared := cost(plain.counts, self.shared[0])) <= plain.whole:
            plain_cost, plain_whole, plain_shares = shared, shared, True
        splits = False
        if split is not None:
            split_cost, split_whole, split_shares = split.cost, split.whole, False
            if may_share and self.shared_kind == split.kind:
                shared = cost(split.survivors.counts, self.shared[0]) + cost(split.map.counts, self.shared[1])
                head = (2 + len(split.head)) * BYTE
                if shared + head <= split.whole:
                    split_cost, split_whole, split_shares = shared, shared + head, True
            splits = it.splits(plain_whole, split_whole)
        if groups is not None and groups.whole + groups.whole // rans_rows.WORTH <= (
            split_whole if splits else plain_whole
        ):
            log = states_log(groups.cost)
            front = groups.head + b"".join(model.table for model in groups.parts)
            return (FILL, log, front + _write([(model.symbols, model.f) for model in groups.parts], log)), groups.whole
        if split is not None and splits:
            models = [split.survivors, split.map]
            front = bytes([split.fill, split.kind + (SHARED if split_shares else 0)]) + split.head
            front += b"" if split_shares else b"".join(model.table for model in models)
            used = self.shared if split_shares else [model.f for model in models]
            log = states_log(split_cost)
            parts = [(model.symbols, f) for model, f in zip(models, used, strict=True)]
            return (FILL, log, front + _write(parts, log)), split_whole
        log = states_log(plain_cost)
        if plain_shares:
            return (CODED_SHARED, log, _write([(chunk, self.shared[0])], log)), plain_whole
        return (CODED, log, plain.table + _write([(chunk, plain.f)], log)), plain_whole


def encode(data: bytes, row: int = 0) -> bytes:
    """A frame: the very bytes that the native encoder writes; ``row``: bytes of a row, where data have any."""
    encoder = _Encoder(data, row)
    return write_frame(data, CHUNK_LOG, encoder.table, encoder.chunk, 16 if encoder.shared_kind < 0 else 32)


class _Reader:
    """The states and words of a chunk."""

    def __init__(self, stored: bytes, log: int) -> None:
        self.at = 4 * STATES[log]
        if len(stored) < self.at:
            raise ValueError("the states are cut off")
        self.x = [int.from_bytes(stored[k : k + 4], "little") for k in range(0, self.at, 4)]
        if min(self.x) < LOWEST:
            raise ValueError("a state is too small")
        self.stored = stored

    def read(self, count: int, f: dict[int, int]) -> bytes:
        """The next sequence."""
        meaning, out = slots(f), bytearray()
        for i in range(count):
            state = self.x[i % len(self.x)]
            symbol, rank = meaning[state % SUM]
            state = f[symbol] * (state // SUM) + rank
            if state < LOWEST:
                if self.at + 2 > len(self.stored):
                    raise ValueError("the words end too early")
                state = state * 65536 + int.from_bytes(self.stored[self.at : self.at + 2], "little")
                self.at += 2
            self.x[i % len(self.x)] = state
            out.append(symbol)
        return bytes(out)

    def close(self) -> None:
        if self.at != len(self.stored) or set(self.x) != {LOWEST}:
            raise ValueError("the chunk does not end where it must")


def _decode_chunk(stored: bytes, log: int, decoded: int, f: dict[int, int]) -> bytes:
    reader = _Reader(stored, log)
    out = reader.read(decoded, f)
    reader.close()
    return out


def _merge_bitmap(survivors: bytes, bitmap: bytes, n: int, fill: int) -> bytes:
    bits = [bitmap[i // 8] >> i % 8 & 1 for i in range(8 * len(bitmap))]
    if sum(bits) != len(survivors) or any(bits[n:]):
        raise ValueError("the bitmap does not fit the survivors")
    following = iter(survivors)
    return bytes(next(following) if bit else fill for bit in bits[:n])


def _merge_gaps(survivors: bytes, gaps: bytes, n: int, fill: int) -> bytes:
    if len(gaps) - gaps.count(ESCAPE) != len(survivors) or gaps[-1] == ESCAPE:
        raise ValueError("the gaps do not fit the survivors")
    out, following = bytearray(), iter(survivors)
    for gap in gaps:
        out += bytes([fill]) * gap
        if gap != ESCAPE:
            out.append(next(following))
    if len(out) > n:
        raise ValueError("the gaps go beyond the chunk")
    return bytes(out) + bytes([fill]) * (n - len(out))


def _decode_rows(chunk: Chunk) -> bytes:
    row, first, tables, at = rans_rows.read_tables(chunk.stored, chunk.decoded_bytes)
    places = rans_rows.spans(chunk.decoded_bytes, row, first)
    reader = _Reader(chunk.stored[at:], chunk.streams_log)
    where = reader.read(len(places), tables[0])
    out = bytearray(chunk.decoded_bytes)
    for rows, f in zip(rans_rows.of_tables(places, where, len(tables) - 1), tables[1:], strict=True):
        rans_rows.put(reader.read(sum(b - a for a, b in rows), f), rows, out)
    reader.close()
    return bytes(out)


def _decode_split(chunk: Chunk, pair: list[dict[int, int]]) -> bytes:
    stored, n = chunk.stored, chunk.decoded_bytes
    fill, how = stored[0], stored[1]
    if how == rans_rows.HOW:
        return _decode_rows(chunk)
    if how > 3 or (how & SHARED and not pair):
        raise ValueError("there is no such split chunk")
    count, at = read_varint(stored, 2)
    map_bytes = (n + 7) // 8
    if how & GAPS:
        map_bytes, at = read_varint(stored, at)
    if not 1 <= count <= n or (how & GAPS and not count <= map_bytes <= count + n // ESCAPE):
        raise ValueError("a split chunk's numbers are out of range")
    tables = pair if how & SHARED else []
    for _ in range(0 if how & SHARED else 2):
        f, used = read_table(stored[at:])
        tables = [*tables, f]
        at += used
    reader = _Reader(stored[at:], chunk.streams_log)
    survivors = reader.read(count, tables[0])
    where = reader.read(map_bytes, tables[1])
    reader.close()
    return (_merge_gaps if how & GAPS else _merge_bitmap)(survivors, where, n, fill)


def decode(blob: bytes) -> bytes:
    """The bytes that a frame holds."""
    return decode_frame(blob, read_table, _decode_chunk, _decode_split, may_pair=True)
