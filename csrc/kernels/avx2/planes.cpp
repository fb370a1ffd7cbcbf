// Byte planes of elements of 2, 4 and 8 bytes: transposed by unpacking, the bits rearranged in whole words.
#include <immintrin.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {
namespace {

constexpr size_t block = 32;  // elements at a time

__m256i load(const uint8_t* p) noexcept { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
void store(uint8_t* p, __m256i v) noexcept { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
__m256i both(__m256i a, __m256i b) noexcept { return _mm256_or_si256(a, b); }

__m256i words64(uint64_t v) noexcept { return _mm256_set1_epi64x(static_cast<int64_t>(v)); }

// An element's bits before they are cut into bytes, from them; and back.
template <PlaneKind kind>
__m256i forth(__m256i x) noexcept {
    if constexpr (kind == PlaneKind::bf16) {
        const __m256i exponent = _mm256_and_si256(_mm256_slli_epi16(x, 1), _mm256_set1_epi16(-256));
        const __m256i sign = _mm256_and_si256(_mm256_srli_epi16(x, 8), _mm256_set1_epi16(0x80));
        return both(both(exponent, sign), _mm256_and_si256(x, _mm256_set1_epi16(0x7F)));
    } else if constexpr (kind == PlaneKind::f32) {
        const __m256i exponent = _mm256_and_si256(_mm256_slli_epi32(x, 1), _mm256_set1_epi32(-0x1000000));
        const __m256i sign = _mm256_and_si256(_mm256_srli_epi32(x, 8), _mm256_set1_epi32(0x800000));
        return both(both(exponent, sign), _mm256_and_si256(x, _mm256_set1_epi32(0x7FFFFF)));
    } else if constexpr (kind == PlaneKind::signed2) {
        return _mm256_xor_si256(_mm256_slli_epi16(x, 1), _mm256_srai_epi16(x, 15));
    } else if constexpr (kind == PlaneKind::signed4) {
        return _mm256_xor_si256(_mm256_slli_epi32(x, 1), _mm256_srai_epi32(x, 31));
    } else {
        return x;
    }
}

template <PlaneKind kind>
__m256i back(__m256i y) noexcept {
    if constexpr (kind == PlaneKind::bf16) {
        const __m256i exponent = _mm256_and_si256(_mm256_srli_epi16(y, 1), _mm256_set1_epi16(0x7F80));
        const __m256i sign = _mm256_and_si256(_mm256_slli_epi16(y, 8), _mm256_set1_epi16(-32768));
        return both(both(exponent, sign), _mm256_and_si256(y, _mm256_set1_epi16(0x7F)));
    } else if constexpr (kind == PlaneKind::f32) {
        const __m256i exponent = _mm256_and_si256(_mm256_srli_epi32(y, 1), _mm256_set1_epi32(0x7F800000));
        const __m256i sign = _mm256_and_si256(_mm256_slli_epi32(y, 8), words64(0x8000000080000000));
        return both(both(exponent, sign), _mm256_and_si256(y, _mm256_set1_epi32(0x7FFFFF)));
    } else if constexpr (kind == PlaneKind::f64) {
        const __m256i sign = _mm256_and_si256(_mm256_slli_epi64(y, 11), words64(uint64_t{1} << 63));
        const __m256i high = _mm256_and_si256(_mm256_slli_epi64(y, 7), words64(uint64_t{7} << 60));
        const __m256i low = _mm256_slli_epi64(_mm256_srli_epi64(y, 56), 52);
        const __m256i mantissa = _mm256_and_si256(y, words64((uint64_t{1} << 52) - 1));
        return both(both(sign, high), both(low, mantissa));
    } else if constexpr (kind == PlaneKind::signed2) {
        const __m256i odd = _mm256_and_si256(y, _mm256_set1_epi16(1));
        return _mm256_xor_si256(_mm256_srli_epi16(y, 1), _mm256_sub_epi16(_mm256_setzero_si256(), odd));
    } else if constexpr (kind == PlaneKind::signed4) {
        const __m256i odd = _mm256_and_si256(y, _mm256_set1_epi32(1));
        return _mm256_xor_si256(_mm256_srli_epi32(y, 1), _mm256_sub_epi32(_mm256_setzero_si256(), odd));
    } else if constexpr (kind == PlaneKind::signed8) {
        const __m256i odd = _mm256_and_si256(y, words64(1));
        return _mm256_xor_si256(_mm256_srli_epi64(y, 1), _mm256_sub_epi64(_mm256_setzero_si256(), odd));
    } else {
        return y;
    }
}

// NOLINTBEGIN(clang-analyzer-security.ArrayBound): the analyzer loses sight of width, which is 2, 4 or 8

// Rows of `width` registers that hold, in each 128-bit half, 16 / width elements in a row: row r of the low halves,
// then of the high halves.
template <PlaneKind kind>
void put(const __m256i* rows, uint8_t* out) noexcept {
    constexpr unsigned width = plane_count(kind);
    static_assert(width == 2 || width == 4 || width == 8);
    for (unsigned r = 0; r < width; r += 2) {
        const __m256i a = back<kind>(rows[r]);
        const __m256i b = back<kind>(rows[r + 1]);
        store(out + 16 * r, _mm256_permute2x128_si256(a, b, 0x20));
        store(out + 16 * (width + r), _mm256_permute2x128_si256(a, b, 0x31));
    }
}

template <PlaneKind kind>
void join(const uint8_t* const* planes, size_t n, uint8_t* out) noexcept {
    constexpr unsigned width = plane_count(kind);
    size_t i = 0;
    for (; i + block <= n; i += block, out += block * width) {
        __m256i a[width];
        for (unsigned k = 0; k < width; k += 2) {
            const __m256i low = load(planes[k] + i);
            const __m256i high = load(planes[k + 1] + i);
            a[k] = _mm256_unpacklo_epi8(low, high);
            a[k + 1] = _mm256_unpackhi_epi8(low, high);
        }
        if constexpr (width >= 4) {
            __m256i b[width];
            for (unsigned k = 0; k < width; k += 4) {
                b[k] = _mm256_unpacklo_epi16(a[k], a[k + 2]);
                b[k + 1] = _mm256_unpackhi_epi16(a[k], a[k + 2]);
                b[k + 2] = _mm256_unpacklo_epi16(a[k + 1], a[k + 3]);
                b[k + 3] = _mm256_unpackhi_epi16(a[k + 1], a[k + 3]);
            }
            for (unsigned k = 0; k < width; ++k) a[k] = b[k];
        }
        if constexpr (width == 8) {
            __m256i b[width];
            for (unsigned k = 0; k < 4; ++k) {
                b[2 * k] = _mm256_unpacklo_epi32(a[k], a[k + 4]);
                b[2 * k + 1] = _mm256_unpackhi_epi32(a[k], a[k + 4]);
            }
            for (unsigned k = 0; k < width; ++k) a[k] = b[k];
        }
        put<kind>(a, out);
    }
    const uint8_t* rest[width];
    for (unsigned k = 0; k < width; ++k) rest[k] = planes[k] + i;
    scalar::join_planes(kind, rest, n - i, out);
}

// NOLINTEND(clang-analyzer-security.ArrayBound)

void split_block2(const __m256i y[2], size_t i, uint8_t* const* planes) noexcept {
    const __m256i low = _mm256_set1_epi16(255);
    const __m256i first = _mm256_packus_epi16(_mm256_and_si256(y[0], low), _mm256_and_si256(y[1], low));
    const __m256i second = _mm256_packus_epi16(_mm256_srli_epi16(y[0], 8), _mm256_srli_epi16(y[1], 8));
    store(planes[0] + i, _mm256_permute4x64_epi64(first, 0xD8));
    store(planes[1] + i, _mm256_permute4x64_epi64(second, 0xD8));
}

void split_block4(const __m256i y[4], size_t i, uint8_t* const* planes) noexcept {
    const __m256i by_byte =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i t[4];
    for (unsigned k = 0; k < 4; ++k) t[k] = _mm256_shuffle_epi8(y[k], by_byte);
    const __m256i a = _mm256_unpacklo_epi32(t[0], t[1]);
    const __m256i b = _mm256_unpacklo_epi32(t[2], t[3]);
    const __m256i c = _mm256_unpackhi_epi32(t[0], t[1]);
    const __m256i d = _mm256_unpackhi_epi32(t[2], t[3]);
    const __m256i rows[4] = {_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b), _mm256_unpacklo_epi64(c, d),
                             _mm256_unpackhi_epi64(c, d)};
    for (unsigned k = 0; k < 4; ++k) store(planes[k] + i, _mm256_permutevar8x32_epi32(rows[k], in_order));
}

template <PlaneKind kind>
void split(const uint8_t* in, size_t n, uint8_t* const* planes) noexcept {
    constexpr unsigned width = plane_count(kind);
    static_assert(width == 2 || width == 4);
    size_t i = 0;
    for (; i + block <= n; i += block, in += block * width) {
        __m256i y[width];
        for (unsigned k = 0; k < width; ++k) y[k] = forth<kind>(load(in + 32 * k));
        if constexpr (width == 2) split_block2(y, i, planes);
        if constexpr (width == 4) split_block4(y, i, planes);
    }
    uint8_t* rest[width];
    for (unsigned k = 0; k < width; ++k) rest[k] = planes[k] + i;
    scalar::split_planes(kind, in, n - i, rest);
}

}  // namespace

void split_planes(PlaneKind kind, const uint8_t* in, size_t n, uint8_t* const* planes) noexcept {
    switch (kind) {
        case PlaneKind::bytes2: return split<PlaneKind::bytes2>(in, n, planes);
        case PlaneKind::bytes4: return split<PlaneKind::bytes4>(in, n, planes);
        case PlaneKind::bf16: return split<PlaneKind::bf16>(in, n, planes);
        case PlaneKind::f32: return split<PlaneKind::f32>(in, n, planes);
        case PlaneKind::signed2: return split<PlaneKind::signed2>(in, n, planes);
        case PlaneKind::signed4: return split<PlaneKind::signed4>(in, n, planes);
        default: return scalar::split_planes(kind, in, n, planes);
    }
}

void join_planes(PlaneKind kind, const uint8_t* const* planes, size_t n, uint8_t* out) noexcept {
    switch (kind) {
        case PlaneKind::bytes1: return scalar::join_planes(kind, planes, n, out);
        case PlaneKind::bytes2: return join<PlaneKind::bytes2>(planes, n, out);
        case PlaneKind::bytes4: return join<PlaneKind::bytes4>(planes, n, out);
        case PlaneKind::bytes8: return join<PlaneKind::bytes8>(planes, n, out);
        case PlaneKind::bf16: return join<PlaneKind::bf16>(planes, n, out);
        case PlaneKind::f32: return join<PlaneKind::f32>(planes, n, out);
        case PlaneKind::f64: return join<PlaneKind::f64>(planes, n, out);
        case PlaneKind::signed2: return join<PlaneKind::signed2>(planes, n, out);
        case PlaneKind::signed4: return join<PlaneKind::signed4>(planes, n, out);
        case PlaneKind::signed8: return join<PlaneKind::signed8>(planes, n, out);
    }
}

}  // namespace bitpress::avx2
