// What LZW's two framings share (Welch 1984): the dictionary as the encoder searches it and as the decoder keeps it.
#pragma once

#include "bytes.h"

namespace bitpress::lzw {

inline constexpr unsigned min_bits = 9;
inline constexpr unsigned max_bits = 16;
inline constexpr std::uint32_t first_code = 256;  // below it: the byte itself

// The encoder's dictionary: (code of a string, next byte) -> code of the longer string. Open addressing, linear
// probing.
// Probing uses as much of the table as the input can fill by half.
struct EncodeDictionary {
    static constexpr unsigned max_log = 17;
    std::uint32_t mask, shift;
    std::uint32_t key[1u << max_log];  // code << 8 | byte, plus one; 0: empty
    std::uint16_t code[1u << max_log];

    // Empty, for at most `codes` strings more than single bytes.
    void clear(std::size_t codes) noexcept {
        unsigned log = 6;
        while (log < max_log && codes > std::size_t{1} << (log - 1)) ++log;
        mask = (1u << log) - 1;
        shift = 32 - log;
        std::memset(key, 0, sizeof(std::uint32_t) << log);
    }

    // The slot that holds the pair, or the empty one where it belongs.
    std::uint32_t find(std::uint32_t prefix, std::uint8_t byte) const noexcept {
        const std::uint32_t wanted = (prefix << 8 | byte) + 1;
        std::uint32_t slot = wanted * 0x9E3779B1u >> shift;
        while (key[slot] != wanted && key[slot] != 0) slot = (slot + 1) & mask;
        return slot;
    }
    bool holds(std::uint32_t slot) const noexcept { return key[slot] != 0; }
    void insert(std::uint32_t slot, std::uint32_t prefix, std::uint8_t byte, std::uint32_t value) noexcept {
        key[slot] = (prefix << 8 | byte) + 1;
        code[slot] = static_cast<std::uint16_t>(value);
    }
};

// The decoder's dictionary needs no prefix chains: the string that is added with the i-th code is what that code wrote
// and the byte after it, and both stand in the output. start[i]: where the i-th code's string begins, from the last
// clear on.
struct DecodeDictionary {
    std::uint32_t start[(1u << max_bits) - first_code + 1];
};

// Copies an earlier string of the output to its end. Where the string reaches into its own copy (from + n == to + 1:
// the code that is being defined by this very string), its last byte is its first. room: writable bytes at to, at least
// n; bytes after the n may be overwritten.
inline void copy_string(std::uint8_t* to, const std::uint8_t* from, std::size_t n, std::size_t room) noexcept {
    const std::uint8_t first = *from;
    const bool overlaps = from + n > to;
    if (n + 8 <= room) {
        for (std::size_t i = 0; i < n; i += 8) store_le(to + i, load_le<std::uint64_t>(from + i));
    } else {
        std::memmove(to, from, n);
    }
    if (overlaps) to[n - 1] = first;
}

}  // namespace bitpress::lzw
