// What all framings of LZW (Welch 1984) share: the rules in which they differ, and the decoder.
#pragma once

#include "bytes.h"
#include "status.h"

namespace bitpress::lzw {

inline constexpr unsigned min_bits = 9;
inline constexpr unsigned max_bits = 16;
inline constexpr std::uint32_t most_words = 1u << max_bits;
inline constexpr std::uint32_t no_code = ~0u;

// Words below `literals` mean one byte each, those from `first` on strings that the codes themselves define, one a code
// but the last; `clear` and `end` (no_code where there is none) stand between.
struct Rules {
    std::uint32_t literals = 256;
    std::uint32_t first = 256;
    std::uint32_t last = most_words;  // words stay below it
    std::uint32_t clear = no_code;
    std::uint32_t end = no_code;
    unsigned min_width = min_bits;
    unsigned max_width = max_bits;
    unsigned early = 0;       // 1: codes widen one word earlier than they must
    bool high_first = false;  // a code's high bits come first, and the high bits of a byte
    bool groups = false;      // where the width changes and after a clear, what is left of a group of 8 is skipped
    bool clear_first = true;  // a clear may be the first code

    // Whether a code is wider than `width` where `newest` is the newest word that it could be.
    bool wider(std::uint32_t newest, unsigned width) const noexcept {
        return width < max_width && newest + early > (1u << width) - 1;
    }
};

// The strings of the decoder, by word: where in the output each begins (less the output's address; single bytes stand
// elsewhere) and, in the lowest 16 bits, its length. Clear and end have length 0. Two more are written beyond the last.
struct DecodeDictionary {
    std::uint64_t string[most_words + 2];
};

// `position`, a number of bits, moved on to the end of its group of 8 codes; groups began at `group`.
inline std::size_t group_end(std::size_t position, std::size_t group, unsigned width) noexcept {
    if (width == 0) return position;
    const std::size_t whole = std::size_t{8} * width;
    return group + (position - group + whole - 1) / whole * whole;
}

// When decoding ends, besides at an end code and at the end of the input.
enum class Room : std::uint8_t {
    limit,    // there is no more: a string that goes beyond the room is an error
    full,     // where it is full; a string that goes beyond is an error
    clipped,  // where it is full; of a string that goes beyond only the first part is written
};

struct Decoded {
    std::uint64_t bytes = 0;
    std::size_t position = 0;  // in bits, after the last code
    bool ended = false;        // by an end code
};

// Decodes codes from the beginning of in until an end code, the end of in (less than a code is left) or as `kind` says.
// corrupt: a word that is not defined; output_too_small: more than the room; truncated: with groups, the input ends
// inside a code or where one must follow (else fewer than 8 bits are left).
Status decode_codes(const Rules& rules, Bytes in, MutableBytes out, Room kind, DecodeDictionary& dictionary,
                    Decoded* result) noexcept;

// The same without an output: how many bytes there would be. too_large: more than the limit.
Status count_codes(const Rules& rules, Bytes in, std::uint64_t limit, DecodeDictionary& dictionary,
                   Decoded* result) noexcept;

}  // namespace bitpress::lzw
