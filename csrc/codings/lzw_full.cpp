#include "codings/lzw_full.h"

namespace bitpress::lzw {
namespace {

constexpr std::uint32_t no_base = 0;
constexpr std::uint32_t first_slot = 256;
constexpr std::uint32_t tries_a_word = 8;

bool has(const std::uint64_t* bits, std::uint32_t i) noexcept { return (bits[i / 64] >> (i % 64) & 1) != 0; }
void add(std::uint64_t* bits, std::uint32_t i) noexcept { bits[i / 64] |= std::uint64_t{1} << (i % 64); }

}  // namespace

void FullDictionary::clear(std::uint32_t last) noexcept {
    words_ = last;
    slots_ = 2 * last > 1u << min_log ? 2 * last : 1u << min_log;
    std::memset(child_, 0, sizeof *child_ * last);
}

// A base that no string has and whose slots for the children's bytes are free; no_base where that takes too long.
std::uint32_t FullDictionary::find_base(const std::uint16_t* children, std::uint32_t count,
                                        std::uint32_t* tries) noexcept {
    for (; *tries > 0; --*tries) {
        const std::uint64_t free = ~filled_[cursor_ / 64] >> (cursor_ % 64);
        if (free == 0) {
            cursor_ = (cursor_ / 64 + 1) * 64;
            if (cursor_ >= slots_) cursor_ = first_slot;
            continue;
        }
        cursor_ += static_cast<std::uint32_t>(__builtin_ctzll(free));
        const std::uint32_t base = cursor_ ^ byte_[children[0]];
        std::uint32_t i = has(taken_, base) ? 0 : 1;
        while (i > 0 && i < count && !has(filled_, base ^ byte_[children[i]])) ++i;
        if (i == count) return base;
        if (++cursor_ >= slots_) cursor_ = first_slot;
    }
    return no_base;
}

bool FullDictionary::build() noexcept {
    std::memset(slot_, 0xFF, sizeof *slot_ * slots_);
    std::memset(taken_, 0, sizeof *taken_ * slots_ / 64);
    std::memset(filled_, 0, sizeof *filled_ * slots_ / 64);
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        literal_[byte] = 0;
        word_[byte] = static_cast<std::uint16_t>(byte);
    }
    cursor_ = first_slot;
    std::uint32_t tries = tries_a_word * words_;
    // A word comes after its prefix, so its slot is known when its children are laid out. Old words have most children.
    for (std::uint32_t word = 0; word < words_; ++word) {
        std::uint16_t children[256];
        std::uint32_t count = 0;
        for (std::uint16_t child = child_[word]; child != 0; child = sibling_[child]) children[count++] = child;
        if (count == 0) continue;
        const std::uint32_t base = find_base(children, count, &tries);
        if (base == no_base) return false;
        add(taken_, base);
        (word < 256 ? literal_[word] : slot_[place_[word]]) |= base;
        for (std::uint32_t i = 0; i < count; ++i) {
            const std::uint32_t slot = base ^ byte_[children[i]];
            add(filled_, slot);
            slot_[slot] = std::uint32_t{byte_[children[i]]} << 24;
            word_[slot] = children[i];
            place_[children[i]] = slot;
        }
    }
    return true;
}

// Each lane takes `stretch` bytes, a byte in turn and without a branch: where strings end cannot be foretold.
void FullDictionary::search(const std::uint8_t* in, std::uint32_t stretch) noexcept {
    std::uint32_t base[lane_count];
    std::size_t count[lane_count];
    for (unsigned k = 0; k < lane_count; ++k) {
        base[k] = literal_[in[k * stretch]];
        count[k] = 0;
        found_[k][0] = 1u << max_log;
    }
    const std::uint32_t most = slots_ - 1;
    for (std::uint32_t i = 1; i < stretch; ++i) {
#pragma GCC unroll 4
        for (unsigned k = 0; k < lane_count; ++k) {
            const std::uint32_t byte = in[k * stretch + i];
            const std::uint32_t slot = base[k] ^ byte;
            const std::uint32_t longer = slot_[slot] ^ byte << 24;
            // All ones where the string ends.
            const std::size_t ends = std::size_t{0} - static_cast<std::size_t>(longer > most);
            base[k] = longer ^ ((longer ^ literal_[byte]) & static_cast<std::uint32_t>(ends));
            count[k] -= ends;
            found_[k][count[k]] = (i + 1) << max_log | slot;
        }
    }
    for (unsigned k = 0; k < lane_count; ++k) {
        count_[k] = static_cast<std::uint32_t>(count[k]);
        open_[k] = base[k];
    }
}

}  // namespace bitpress::lzw
