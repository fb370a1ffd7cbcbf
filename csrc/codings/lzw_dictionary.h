// The dictionary as the encoders of LZW search it.
#pragma once

#include "codings/lzw_core.h"

namespace bitpress::lzw {

// (Word of a string, next byte) -> word of the longer string. Open addressing, linear probing. Probing uses as much of
// the table as the input can fill by half.
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

// The same for words below 4096: an entry has 32 bits, and all of them fit the first cache of most machines.
struct ShortDictionary {
    static constexpr unsigned log = 13;
    static constexpr unsigned word_bits = 12;
    std::uint32_t entry[1u << log];  // word of the string << 20 | byte << 12 | word of the longer one; 0: empty

    void clear() noexcept { std::memset(entry, 0, sizeof entry); }

    std::uint32_t find(std::uint32_t prefix, std::uint8_t byte) const noexcept {
        const std::uint32_t wanted = prefix << 8 | byte;
        std::uint32_t slot = wanted * 0x9E3779B1u >> (32 - log);
        while (entry[slot] != 0 && entry[slot] >> word_bits != wanted) slot = (slot + 1) & ((1u << log) - 1);
        return slot;
    }
    bool holds(std::uint32_t slot) const noexcept { return entry[slot] != 0; }
    std::uint32_t word(std::uint32_t slot) const noexcept { return entry[slot] & ((1u << word_bits) - 1); }
    void insert(std::uint32_t slot, std::uint32_t prefix, std::uint8_t byte, std::uint32_t value) noexcept {
        entry[slot] = (prefix << 8 | byte) << word_bits | value;
    }
};

}  // namespace bitpress::lzw
