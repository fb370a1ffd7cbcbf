// Unpacking from lanes, many at a time, every shift a constant. A vector of an instruction set, V, has `width` bytes:
// load, store, low (the low bits of every byte, those of 16-bit elements shifted), both, either, right, left.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace bitpress {

constexpr size_t lane_count = 128;
constexpr size_t codes_a_lane = 8;

// Code I of V::width lanes whose first bytes stand at p.
template <class V, unsigned bits, unsigned I>
static V lane_codes(const uint8_t* p) noexcept {
    constexpr unsigned byte = I * bits / 8;
    constexpr unsigned shift = I * bits % 8;
    constexpr unsigned inside = 8 - shift;  // bits of that byte
    const V first = V::load(p + byte * lane_count);
    if constexpr (bits == 8) {
        return first;
    } else if constexpr (shift == 0) {
        return both(first, V::low(bits));
    } else if constexpr (bits <= inside) {
        return both(right<shift>(first), V::low(bits));
    } else {
        // What a shift carries over from the neighbouring byte is masked away.
        const V second = V::load(p + (byte + 1) * lane_count);
        return either(both(right<shift>(first), V::low(inside)), left<inside>(both(second, V::low(bits - inside))));
    }
}

// to(k, codes): V::width codes of the blocks, from number k on.
template <class V, unsigned bits, class To>
static void unpack_lanes_of(const uint8_t* packed, size_t blocks, const To& to) noexcept {
    for (size_t block = 0; block < blocks; ++block, packed += lane_count * bits) {
        const size_t at = block * lane_count * codes_a_lane;
        for (size_t l = 0; l < lane_count; l += V::width) {
            const uint8_t* p = packed + l;
            to(at + 0 * lane_count + l, lane_codes<V, bits, 0>(p));
            to(at + 1 * lane_count + l, lane_codes<V, bits, 1>(p));
            to(at + 2 * lane_count + l, lane_codes<V, bits, 2>(p));
            to(at + 3 * lane_count + l, lane_codes<V, bits, 3>(p));
            to(at + 4 * lane_count + l, lane_codes<V, bits, 4>(p));
            to(at + 5 * lane_count + l, lane_codes<V, bits, 5>(p));
            to(at + 6 * lane_count + l, lane_codes<V, bits, 6>(p));
            to(at + 7 * lane_count + l, lane_codes<V, bits, 7>(p));
        }
    }
}

template <class V, class To>
static void unpack_lanes_to(const uint8_t* packed, size_t blocks, unsigned bits, const To& to) noexcept {
    switch (bits) {
        case 1: return unpack_lanes_of<V, 1>(packed, blocks, to);
        case 2: return unpack_lanes_of<V, 2>(packed, blocks, to);
        case 3: return unpack_lanes_of<V, 3>(packed, blocks, to);
        case 4: return unpack_lanes_of<V, 4>(packed, blocks, to);
        case 5: return unpack_lanes_of<V, 5>(packed, blocks, to);
        case 6: return unpack_lanes_of<V, 6>(packed, blocks, to);
        case 7: return unpack_lanes_of<V, 7>(packed, blocks, to);
        default: return unpack_lanes_of<V, 8>(packed, blocks, to);
    }
}

// Codes as they are; of 8 bits they stand in order.
template <class V>
static void unpack_lanes_to_bytes(const uint8_t* packed, size_t blocks, unsigned bits, uint8_t* codes) noexcept {
    if (bits == 8) {
        memcpy(codes, packed, blocks * lane_count * codes_a_lane);
        return;
    }
    unpack_lanes_to<V>(packed, blocks, bits, [codes](size_t at, V v) noexcept { v.store(codes + at); });
}

}  // namespace bitpress
