// Indices that say where an operator reads or writes.
#pragma once

#include "ops/numbers.h"

namespace bitpress {

inline constexpr std::uint32_t index_types = type_bit(Dtype::i32) | type_bit(Dtype::i64);

// The index at a place, below `size`; negative ones count from the end.
inline Status read_index(Dtype dtype, const void* indices, std::uint64_t at, std::uint64_t size,
                         std::uint64_t* out) noexcept {
    std::int64_t index = 0;
    load(dtype, element(indices, at, element_bytes(dtype)), 0, 1, &index);
    const auto limit = static_cast<std::int64_t>(size);
    if (index < -limit || index >= limit) return Status::out_of_range;
    *out = static_cast<std::uint64_t>(index < 0 ? index + limit : index);
    return Status::ok;
}

}  // namespace bitpress
