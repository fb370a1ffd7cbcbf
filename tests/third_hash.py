"""The third reader's XXH64, from https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md."""

from __future__ import annotations

import struct

P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5,
)  # fmt: skip
M64 = (1 << 64) - 1


def rotl(value: int, by: int) -> int:
    value &= M64
    return (value << by | value >> 64 - by) & M64


def xxh64(data: bytes, seed: int = 0) -> int:
    def one(lane: int, word: int) -> int:
        return rotl(lane + word * P2, 31) * P1 & M64

    at, size = 0, len(data)
    if size >= 32:
        lanes = [seed + P1 + P2, seed + P2, seed, seed - P1]
        while at + 32 <= size:
            words = struct.unpack_from("<4Q", data, at)
            lanes = [one(lane & M64, word) for lane, word in zip(lanes, words, strict=True)]
            at += 32
        h = sum(rotl(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)) & M64
        for lane in lanes:
            h = ((h ^ one(0, lane)) * P1 + P4) & M64
    else:
        h = seed + P5 & M64
    h = h + size & M64
    while at + 8 <= size:
        h = (rotl(h ^ one(0, int.from_bytes(data[at : at + 8], "little")), 27) * P1 + P4) & M64
        at += 8
    if at + 4 <= size:
        h = (rotl(h ^ int.from_bytes(data[at : at + 4], "little") * P1 & M64, 23) * P2 + P3) & M64
        at += 4
    while at < size:
        h = rotl(h ^ data[at] * P5 & M64, 11) * P1 & M64
        at += 1
    h = (h ^ h >> 33) * P2 & M64
    h = (h ^ h >> 29) * P3 & M64
    return h ^ h >> 32
