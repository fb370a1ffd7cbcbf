// Products of a sparse matrix: the sums of 16 or 32 columns in registers, twice, so that products do not wait for each
// other.
#include "kernels/avx2/vectors.h"

namespace bitpress::avx2 {
namespace {

template <size_t panels>
struct Sums {
    static constexpr size_t vectors = 2 * panels;
    __m256 sum[vectors];

    Sums() noexcept {
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; ++v) sum[v] = _mm256_setzero_ps();
    }
    void add(const float* value, const float* x, size_t apart) noexcept {
        const __m256 factor = _mm256_broadcast_ss(value);
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; ++v) {
            sum[v] = _mm256_fmadd_ps(factor, _mm256_loadu_ps(x + v / 2 * apart + v % 2 * 8), sum[v]);
            BP_PIN(sum[v]);
        }
    }
};

template <size_t panels>
static void rows(size_t lists, const uint32_t* ends, const uint16_t* positions, const float* values, const float* x,
                 size_t apart, float* sums, size_t ldsums) noexcept {
    size_t s = 0;
    for (size_t i = 0; i < lists; ++i) {
        Sums<panels> even, odd;
        const size_t end = ends[i];
        for (; s + 2 <= end; s += 2) {
            even.add(values + s, x + panel_columns * positions[s], apart);
            odd.add(values + s + 1, x + panel_columns * positions[s + 1], apart);
        }
        if (s < end) {
            even.add(values + s, x + panel_columns * positions[s], apart);
            ++s;
        }
        float* out = sums + i * ldsums;
#pragma GCC unroll 4
        for (size_t v = 0; v < Sums<panels>::vectors; ++v) {
            const __m256 both = _mm256_add_ps(even.sum[v], odd.sum[v]);
            _mm256_storeu_ps(out + 8 * v, _mm256_add_ps(_mm256_loadu_ps(out + 8 * v), both));
        }
    }
}

}  // namespace

void spmm_f32(size_t lists, const uint32_t* ends, const uint16_t* positions, const float* values, const float* panels,
              size_t apart, size_t panel_count, float* sums, size_t ldsums) noexcept {
    const auto run = panel_count == 2 ? rows<2> : rows<1>;
    run(lists, ends, positions, values, panels, apart, sums, ldsums);
}

}  // namespace bitpress::avx2
