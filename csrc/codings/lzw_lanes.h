// The encoder of several strips or frames at once. One input leaves a CPU waiting: each byte's search depends on the
// one before. Lanes are independent inputs, each with its dictionary, that take a byte each in turn and without a
// branch, so that their waits overlap.
#pragma once

#include "bytes.h"
#include "codings/lzw_codes.h"
#include "codings/lzw_core.h"

namespace bitpress::lzw {

inline constexpr unsigned lane_count = 4;
inline constexpr unsigned image_max_bits = 12;

// A strip or frame of a batch, and where it goes.
struct Piece {
    Bytes in;
    MutableBytes out;
    std::size_t written = 0;
    MutableBytes codes;  // of out, where encode_lanes writes: room for every code and code_slack
};

// A string is held as its word << 20, so that with the next byte << 12 it is a key, and an entry of the dictionary the
// key and, in its 12 lowest bits, the longer string's word.
struct Lane {
    static constexpr unsigned log = 13;
    static constexpr std::uint32_t buckets = 1u << log;

    // Of two entries, the newer one low, ~0 being none; a full one's keys go on in the next that is not full.
    std::uint64_t bucket[buckets];
    std::uint32_t said[1u << image_max_bits];  // by word: the string whose code defined it
    const std::uint8_t *at, *end;
    std::uint32_t string;
    std::uint32_t next;  // the word to define
    Piece* piece;
    std::uint64_t writer[3];  // a CodeWriter
};

// Codes `count` pieces with the rules of an image, from the first clear to the end code, a clear after word clear_at;
// `written` is how many bytes of `codes`. lanes: lane_count of them. Bytes are below rules.literals.
void encode_lanes(const Rules& rules, std::uint32_t clear_at, Piece* pieces, std::size_t count, Lane* lanes) noexcept;

}  // namespace bitpress::lzw
