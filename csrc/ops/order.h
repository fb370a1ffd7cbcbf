// Orders of elements, and sorting without memory.
#pragma once

#include <string.h>

#include "ops/numbers.h"

namespace bitpress {

// Whole numbers in the order of the elements; NaN is above every number.
inline std::uint64_t order_key(Dtype dtype, const void* element) noexcept {
    constexpr std::uint64_t sign = std::uint64_t{1} << 63;
    if (!among(dtype, real_types)) {
        std::int64_t value = 0;
        load(dtype, element, 0, 1, &value);
        return static_cast<std::uint64_t>(value) ^ (dtype == Dtype::u64 ? 0 : sign);
    }
    double value = 0.0;
    load(dtype, element, 0, 1, &value);
    value = __builtin_isnan(value) ? __builtin_nan("") : value + 0.0;  // one NaN, one zero
    std::uint64_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    return (bits & sign) != 0 ? ~bits : bits | sign;
}

// A heap, whose root stands before all others: `at` goes down to its place.
template <class T, class Before>
void sink(T* heap, std::uint64_t count, std::uint64_t at, const Before& before) noexcept {
    for (;;) {
        std::uint64_t child = 2 * at + 1;
        if (child >= count) return;
        if (child + 1 < count && before(heap[child + 1], heap[child])) ++child;
        if (!before(heap[child], heap[at])) return;
        const T kept = heap[at];
        heap[at] = heap[child];
        heap[child] = kept;
        at = child;
    }
}

// By a strict order of all items: the same result for any order in which they come.
template <class T, class Before>
void sort(T* items, std::uint64_t count, const Before& before) noexcept {
    const auto after = [&](const T& a, const T& b) noexcept { return before(b, a); };
    for (std::uint64_t n = count / 2; n > 0; --n) sink(items, count, n - 1, after);
    for (std::uint64_t n = count; n > 1; --n) {
        const T last = items[0];
        items[0] = items[n - 1];
        items[n - 1] = last;
        sink(items, n - 1, 0, after);
    }
}

}  // namespace bitpress
