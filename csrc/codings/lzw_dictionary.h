// The dictionary as the encoders of LZW search it.
#pragma once

#include "codings/lzw_core.h"

namespace bitpress::lzw {

// (Word of a string, next byte) -> word of the longer string. Buckets of two, linear probing, at most half full; it
// grows with what it holds, so that few strings stay in the first caches.
//
// What is held are ids: word * odd modulo the number of buckets, which scatters them. A pair's home is its id xor a
// number for the byte, so home and byte tell the id, and an entry of 32 bits is enough: byte << 24 | distance from home
// << log | id of the longer string. The distance has 24 - log bits, all ones being an empty entry; a pair that finds no
// place within them is not held (chance does not do that: it takes 255 full neighbours).
class EncodeDictionary {
  public:
    // Where a search ended that found nothing: what insert() needs.
    struct Place {
        std::uint32_t slot = 0, tag = 0;
    };

    // Empty, for words below `last`.
    void clear(std::uint32_t last) noexcept {
        most_log_ = last > 1u << min_log ? max_log : min_log;
        resize(last > 1u << min_log ? first_log : min_log);
    }

    std::uint32_t id(std::uint32_t word) const noexcept { return word * scatter & mask_; }
    std::uint32_t word(std::uint32_t id) const noexcept { return id * gather & mask_; }

    // True: *string, an id, became the longer one's. False: there is none, and *place is where it belongs.
    bool extend(std::uint32_t* string, std::uint8_t byte, Place* place) const noexcept {
        std::uint32_t bucket = *string ^ mix_[byte];
        std::uint32_t tag = std::uint32_t{byte} << 24;
        for (;;) {
            const std::uint32_t first = entry_[2 * bucket], second = entry_[2 * bucket + 1];
            const std::uint32_t a = first ^ tag, b = second ^ tag;
            const std::uint32_t rest = a < b ? a : b;  // without a branch: which of the two it is cannot be foretold
            if (rest <= mask_) {
                *string = rest;
                return true;
            }
            if (second == empty) {
                *place = {2 * bucket + (first == empty ? 0u : 1u), tag};
                return false;
            }
            tag += mask_ + 1;
            if ((tag & distances_) == distances_) {
                *place = {0, tag};
                return false;
            }
            bucket = (bucket + 1) & mask_;
        }
    }

    // Ids that the caller has are worth nothing after this.
    void insert(const Place& place, std::uint32_t word) noexcept {
        if ((place.tag & distances_) != distances_) entry_[place.slot] = place.tag | id(word);
        if (word == mask_ && log_ < most_log_) grow();
    }

  private:
    static constexpr unsigned min_log = 12, first_log = 14, max_log = 16;
    static constexpr std::uint32_t empty = ~0u;
    static constexpr std::uint32_t scatter = 0x9E3779B1u, gather = 0x0E8B2F51u;  // each the other's inverse

    void resize(unsigned log) noexcept {
        log_ = log;
        mask_ = (1u << log) - 1;
        distances_ = 0x00FFFFFFu & ~mask_;
        for (std::uint32_t byte = 0; byte < 256; ++byte) mix_[byte] = (byte * 0x85EBCA6Bu >> (32 - max_log)) & mask_;
        std::memset(entry_, 0xFF, 2 * sizeof(std::uint32_t) << log);
    }

    // The largest size; what is held is told from where it stands.
    void grow() noexcept {
        const std::uint32_t mask = mask_;
        const unsigned log = log_;
        std::memcpy(old_, entry_, 2 * sizeof(std::uint32_t) << log);
        resize(most_log_);
        for (std::uint32_t slot = 0; slot <= 2 * mask + 1; ++slot) {
            const std::uint32_t entry = old_[slot];
            if (entry == empty) continue;
            const std::uint8_t byte = static_cast<std::uint8_t>(entry >> 24);
            const std::uint32_t distance = (entry & 0x00FFFFFFu) >> log;
            const std::uint32_t home = (slot / 2 - distance) & mask;
            std::uint32_t string = id(((home ^ (mix_[byte] & mask)) * gather) & mask);
            Place place;
            if (extend(&string, byte, &place) || (place.tag & distances_) == distances_) continue;
            entry_[place.slot] = place.tag | id(((entry & mask) * gather) & mask);
        }
    }

    std::uint32_t mask_, distances_;
    unsigned log_, most_log_;
    std::uint32_t mix_[256];
    std::uint32_t entry_[2u << max_log];
    std::uint32_t old_[2u << first_log];
};

}  // namespace bitpress::lzw
