// The stream `mask` of N:M and blocks, from what must be stored.
#include <string.h>

#include "tensor/mask.h"

namespace bitpress {
namespace {

// Calls each(index, stored elements) for every block in the order of their bits; index counts from 0.
template <class Each>
void each_block(Wanted wanted, const Blocks& blocks, Each each) noexcept {
    std::uint64_t index = 0;
    for (std::uint64_t r = 0; r < blocks.rows; r += blocks.height) {
        const std::uint64_t bottom = blocks.rows - r < blocks.height ? blocks.rows : r + blocks.height;
        for (std::uint64_t c = 0; c < blocks.columns; c += blocks.width, ++index) {
            const std::uint64_t right = blocks.columns - c < blocks.width ? blocks.columns : c + blocks.width;
            bool stored = false;
            for (std::uint64_t i = r; i < bottom && !stored; ++i) {
                for (std::uint64_t k = c; k < right && !stored; ++k) stored = wanted(i * blocks.columns + k);
            }
            if (stored) each(index, (bottom - r) * (right - c));
        }
    }
}

}  // namespace

std::uint64_t count_stored(Wanted wanted, const Shape& shape, const Scheme& scheme, std::uint64_t count) noexcept {
    std::uint64_t stored = 0;
    switch (scheme.structure) {
        case Structure::dense: return count;
        case Structure::nm: return count / scheme.pattern[1] * scheme.pattern[0];
        case Structure::block:
            each_block(wanted, Blocks(shape, scheme, count),
                       [&](std::uint64_t, std::uint64_t elements) noexcept { stored += elements; });
            return stored;
        case Structure::bitmap: break;
    }
    for (std::uint64_t i = 0; i < count; ++i) stored += wanted(i) ? 1U : 0U;
    return stored;
}

Status write_mask(Wanted wanted, const Shape& shape, const Scheme& scheme, std::uint64_t count,
                  MutableBytes mask) noexcept {
    if (mask.size() != mask_bytes(shape, scheme, count)) return Status::output_too_small;
    if (mask.empty()) return Status::ok;
    memset(mask.data(), 0, mask.size());
    const auto set = [&](std::uint64_t bit) noexcept {
        mask[static_cast<std::size_t>(bit / 8)] |= static_cast<std::uint8_t>(1U << bit % 8);
    };
    if (scheme.structure == Structure::block) {
        each_block(wanted, Blocks(shape, scheme, count),
                   [&](std::uint64_t index, std::uint64_t) noexcept { set(index); });
        return Status::ok;
    }
    if (scheme.structure == Structure::bitmap) {
        for (std::uint64_t i = 0; i < count; ++i) {
            if (wanted(i)) set(i);
        }
        return Status::ok;
    }
    const unsigned kept = scheme.pattern[0];
    const unsigned group = scheme.pattern[1];
    const unsigned bits = pattern_bits(scheme);
    for (std::uint64_t g = 0; g < count / group; ++g) {
        unsigned pattern = 0;
        unsigned stored = 0;
        for (unsigned k = 0; k < group; ++k) {
            const unsigned one = wanted(g * group + k) ? 1U : 0U;
            pattern |= one << k;
            stored += one;
        }
        if (stored > kept) return Status::bad_argument;
        for (; stored < kept; ++stored) pattern |= ~pattern & (pattern + 1U);  // the first place that is free
        const unsigned index = index_of(pattern);
        for (unsigned k = 0; k < bits; ++k) {
            if ((index >> k & 1U) != 0) set(g * bits + k);
        }
    }
    return Status::ok;
}

}  // namespace bitpress
