// Kernels of float networks: sums of products against float64, within the bounds of kernels.def; the rest equal bits.
#include <cmath>

#include "trial.h"

namespace bitpress::test {
namespace {

constexpr std::size_t panel = 16;

struct Bounds {
    float low, high;
};

Bounds draw_bounds(const Trial& t) {
    constexpr float inf = __builtin_inff();
    static constexpr Bounds all[] = {{-inf, inf}, {0.0F, inf}, {0.0F, 6.0F}, {-0.25F, 0.25F}};
    return all[t.random.below(4)];
}

double clipped(double x, const Bounds& to) {
    x = x < static_cast<double>(to.low) ? static_cast<double>(to.low) : x;
    return x > static_cast<double>(to.high) ? static_cast<double>(to.high) : x;
}

// A sum of products in float64, and of their magnitudes.
struct Sum {
    double value = 0.0, sizes = 0.0;
    std::size_t n = 1;
    explicit Sum(float start) : value(static_cast<double>(start)), sizes(std::fabs(static_cast<double>(start))) {}
    void add(float a, float b) {
        const double product = static_cast<double>(a) * static_cast<double>(b);
        value += product;
        sizes += std::fabs(product);
        ++n;
    }
    double error() const { return static_cast<double>(n) * 0x1p-23 * sizes + 0x1p-140; }
};

void maybe_nan(const Trial& t, float* x, std::size_t n) {
    if (n != 0 && t.random.one_in(8)) x[t.random.below(n)] = t.random.one_in(2) ? __builtin_nanf("") : __builtin_inff();
}

std::size_t matrix(std::size_t rows, std::size_t columns, std::size_t apart) {
    return rows == 0 ? 0 : (rows - 1) * apart + columns;
}

void copy(float* to, const float* from, std::size_t n) {
    if (n != 0) std::memcpy(to, from, n * sizeof *to);
}

}  // namespace

void check_gemm_f32(const Trial& t) noexcept {
    const std::size_t m = t.random.below(15), n = t.size(50), k = t.size(40);
    const std::size_t lda = k + t.random.below(4), ldc = n + t.random.below(4);
    const Bounds to = draw_bounds(t);
    float* a = t.floats(matrix(m, k, lda));
    maybe_nan(t, a, matrix(m, k, lda));
    const float* b = t.floats((n + panel - 1) / panel * panel * k);
    const float* start = t.floats(matrix(m, n, ldc));
    auto* c = t.room<float>(matrix(m, n, ldc));
    copy(c, start, matrix(m, n, ldc));
    const float* starts = t.random.one_in(2) ? t.floats(m) : nullptr;
    t.isa.gemm_f32(m, n, k, a, lda, b, starts, c, ldc, to.low, to.high);
    for (std::size_t i = 0; i < m; ++i) {
        for (std::size_t j = 0; j < ldc && i * ldc + j < matrix(m, n, ldc); ++j) {
            if (j >= n) {
                t.same("between rows", start + i * ldc + j, c + i * ldc + j, sizeof(float));
                continue;
            }
            Sum sum(starts != nullptr ? starts[i] : start[i * ldc + j]);
            for (std::size_t p = 0; p < k; ++p)
                sum.add(a[i * lda + p], b[j / panel * panel * k + p * panel + j % panel]);
            t.near("c", clipped(sum.value, to), static_cast<double>(c[i * ldc + j]), sum.error(), i * ldc + j);
        }
    }
}

void check_gemv_f32(const Trial& t) noexcept {
    const std::size_t m = t.random.below(10), k = t.size(90);
    const std::size_t lda = k + t.random.below(4);
    float* a = t.floats(matrix(m, k, lda));
    maybe_nan(t, a, matrix(m, k, lda));
    const float* x = t.floats(k);
    const float* start = t.floats(m);
    auto* y = t.room<float>(m);
    copy(y, start, m);
    t.isa.gemv_f32(m, k, a, lda, x, y);
    for (std::size_t i = 0; i < m; ++i) {
        Sum sum(start[i]);
        for (std::size_t p = 0; p < k; ++p) sum.add(a[i * lda + p], x[p]);
        t.near("y", sum.value, static_cast<double>(y[i]), sum.error(), i);
    }
}

void check_pack_panel_f32(const Trial& t) noexcept {
    const std::size_t rows = t.random.below(panel + 1), k = t.size(60);
    const std::size_t lda = k + t.random.below(4);
    const float* a = t.floats(matrix(rows, k, lda), Draw::any);
    const auto out = t.out<float>(panel * k);
    t.plain.pack_panel_f32(a, lda, rows, k, out.plain);
    t.isa.pack_panel_f32(a, lda, rows, k, out.isa);
    t.same("panel", out, panel * k);
}

void check_spmm_f32(const Trial& t) noexcept {
    const std::size_t lists = t.random.below(6), depth = 1 + t.size(60), panels = 1 + t.random.below(2);
    const std::size_t width = panels * panel, apart = depth * panel + t.random.below(4);
    const std::size_t ldsums = width + t.random.below(4);
    auto* ends = t.room<std::uint32_t>(lists);
    std::uint32_t entries = 0;
    for (std::size_t i = 0; i < lists; ++i) ends[i] = entries += static_cast<std::uint32_t>(t.size(40));
    const std::uint16_t* positions = t.words(entries, depth);
    const float* values = t.floats(entries);
    float* x = t.floats((panels - 1) * apart + depth * panel);
    maybe_nan(t, x, (panels - 1) * apart + depth * panel);
    const float* start = t.floats(matrix(lists, width, ldsums));
    auto* sums = t.room<float>(matrix(lists, width, ldsums));
    copy(sums, start, matrix(lists, width, ldsums));
    t.isa.spmm_f32(lists, ends, positions, values, x, apart, panels, sums, ldsums);
    for (std::size_t i = 0; i < lists; ++i) {
        for (std::size_t j = 0; j < ldsums && i * ldsums + j < matrix(lists, width, ldsums); ++j) {
            const std::size_t at = i * ldsums + j;
            if (j >= width) {
                t.same("between rows", start + at, sums + at, sizeof(float));
                continue;
            }
            Sum sum(start[at]);
            for (std::uint32_t s = i == 0 ? 0 : ends[i - 1]; s < ends[i]; ++s) {
                sum.add(values[s], x[j / panel * apart + positions[s] * panel + j % panel]);
            }
            t.near("sums", sum.value, static_cast<double>(sums[at]), sum.error(), at);
        }
    }
}

void check_depthwise_f32(const Trial& t) noexcept {
    const std::size_t window = t.random.one_in(2) ? 0 : 3 + 2 * t.random.below(2);  // its rows a step apart, or none
    const std::size_t taps = window != 0 ? window * window : t.random.below(26);
    const std::size_t rows = 1 + t.random.below(17), n = 1 + t.size(70), row_step = 1 + t.random.below(50);
    std::size_t offsets[26];
    std::size_t used = (rows - 1) * row_step + n;
    std::size_t farthest = 0;
    for (std::size_t i = 0; i < taps; ++i) {
        offsets[i] = window != 0 && i >= window ? offsets[i - window] + row_step : t.random.below(90);
        farthest = offsets[i] > farthest ? offsets[i] : farthest;
    }
    used += farthest;
    float* x = t.floats(used + 8);
    maybe_nan(t, x, used);
    for (std::size_t i = 0; i < 8; ++i) x[used + i] = __builtin_nanf("");  // may be read, must not be used
    const float* w = t.floats(taps);
    const float bias = t.random.unit();
    const Bounds to = draw_bounds(t);
    const auto y = t.out<float>(rows * n);
    t.isa.depthwise_f32(x, w, offsets, taps, row_step, bias, to.low, to.high, y.isa, rows, n);
    for (std::size_t i = 0; i < rows * n; ++i) {
        Sum sum(bias);
        for (std::size_t tap = 0; tap < taps; ++tap) sum.add(w[tap], x[offsets[tap] + i / n * row_step + i % n]);
        t.near("y", clipped(sum.value, to), static_cast<double>(y.isa[i]), sum.error(), i);
    }
}

void check_sort_rows_f32(const Trial& t) noexcept {
    const std::size_t stride = 1 + t.random.below(4), rows = t.random.below(4), n = t.size(80);
    const std::size_t first = t.random.below(6), length = (first + n + stride - 1) / stride;
    const std::size_t step = stride * length + t.random.below(3);
    const float* x = t.floats(rows * n, Draw::any);
    const auto y = t.out<float>(matrix(rows, stride * length, step));
    t.plain.sort_rows_f32(x, rows, n, first, stride, length, y.plain, step);
    t.isa.sort_rows_f32(x, rows, n, first, stride, length, y.isa, step);
    t.same("y", y, matrix(rows, stride * length, step));
}

void check_gather_panel_f32(const Trial& t) noexcept {
    const std::size_t k = t.random.below(20), n = t.random.below(panel + 1);
    const std::size_t room = t.random.one_in(2) ? panel : n + t.random.below(panel + 1 - n);
    std::size_t offsets[20];
    for (std::size_t p = 0; p < k; ++p) offsets[p] = t.random.below(100);
    if (k != 0) offsets[0] = 100;  // the last that may be read
    const float* x = t.floats(100 + n, Draw::any);
    const auto out = t.out<float>(k * panel);
    t.plain.gather_panel_f32(x, offsets, k, n, room, out.plain);
    t.isa.gather_panel_f32(x, offsets, k, n, room, out.isa);
    t.same("panel", out, k * panel);
}

void check_binary_f32(const Trial& t) noexcept {
    const std::size_t n = t.size(80);
    const std::size_t a_step = t.random.below(2), b_step = t.random.below(2);
    const auto op = static_cast<unsigned>(t.random.below(6));
    const Bounds to = draw_bounds(t);
    const float* a = t.floats(a_step == 0 ? 1 : n, Draw::any);
    const float* b = t.floats(b_step == 0 ? 1 : n, Draw::any);
    const auto y = t.out<float>(n);
    t.plain.binary_f32(op, a, a_step, b, b_step, y.plain, n, to.low, to.high);
    const std::size_t in_place = t.random.below(3);
    if (in_place == 1 && a_step == 1) {
        copy(y.isa, a, n);
        a = y.isa;
    }
    if (in_place == 2 && b_step == 1) {
        copy(y.isa, b, n);
        b = y.isa;
    }
    t.isa.binary_f32(op, a, a_step, b, b_step, y.isa, n, to.low, to.high);
    t.same_floats("y", y.plain, y.isa, n);
}

void check_affine_f32(const Trial& t) noexcept {
    const std::size_t n = t.size(80);
    const Bounds to = draw_bounds(t);
    const float* x = t.floats(n, Draw::any);
    const float scale = t.random.unit() * 3.0F, shift = t.random.one_in(2) ? 0.0F : t.random.unit();
    const auto y = t.out<float>(n);
    t.plain.affine_f32(x, n, scale, shift, to.low, to.high, y.plain);
    if (t.random.one_in(2)) {
        copy(y.isa, x, n);
        x = y.isa;
    }
    t.isa.affine_f32(x, n, scale, shift, to.low, to.high, y.isa);
    t.same_floats("y", y.plain, y.isa, n);
}

namespace {

// Of one size a trial, from 1e-6 to 200; now and then NaN or infinity.
float* smooth_input(const Trial& t, std::size_t n, bool infinity) {
    static constexpr float sizes[] = {1e-6F, 0.1F, 1.0F, 10.0F, 40.0F, 200.0F};
    const float size = sizes[t.random.below(6)];
    auto* x = t.room<float>(n);
    for (std::size_t i = 0; i < n; ++i) x[i] = t.random.unit() * size;
    if (n != 0 && t.random.one_in(6)) x[t.random.below(n)] = __builtin_nanf("");
    if (n != 0 && infinity && t.random.one_in(6)) x[t.random.below(n)] = __builtin_inff();
    return x;
}

// y, or x itself where the kernel runs in place.
float* smooth_output(const Trial& t, const float** x, std::size_t n) {
    auto* y = t.room<float>(n);
    if (t.random.one_in(2)) return y;
    copy(y, *x, n);
    *x = y;
    return y;
}

}  // namespace

void check_sigmoid_f32(const Trial& t) noexcept {
    const std::size_t n = t.size(60);
    const float* x = smooth_input(t, n, true);
    const float* in = x;
    float* y = smooth_output(t, &in, n);
    t.isa.sigmoid_f32(in, n, y);
    for (std::size_t i = 0; i < n; ++i) {
        const double want = 1.0 / (1.0 + std::exp(-static_cast<double>(x[i])));
        t.near("y", want, static_cast<double>(y[i]), 0x1p-20 * want + 0x1p-126, i);
    }
}

void check_gelu_f32(const Trial& t) noexcept {
    const std::size_t n = t.size(60);
    const bool tanh_form = t.random.one_in(2);
    const float* x = smooth_input(t, n, true);
    const float* in = x;
    float* y = smooth_output(t, &in, n);
    t.isa.gelu_f32(tanh_form, in, n, y);
    for (std::size_t i = 0; i < n; ++i) {
        const auto v = static_cast<double>(x[i]);
        const double inner = v + 0.044715 * v * v * v;
        const double want = tanh_form ? v / (1.0 + std::exp(-2.0 * std::sqrt(2.0 / 3.14159265358979323846) * inner))
                                      : v / 2.0 * std::erfc(-v * std::sqrt(0.5));
        t.near("y", want, static_cast<double>(y[i]), 0x1p-21 * std::fabs(v) + 0x1p-126, i);
    }
}

void check_softmax_f32(const Trial& t) noexcept {
    const std::size_t n = 1 + t.size(60);
    float* x = smooth_input(t, n, false);
    for (std::size_t i = 1; i < n; ++i) {
        if (t.random.one_in(20)) x[i] = -__builtin_inff();  // as masks have
    }
    const float* in = x;
    float* y = smooth_output(t, &in, n);
    t.isa.softmax_f32(in, n, y);
    double top = -__builtin_inf(), sum = 0.0, most = 0.0;
    bool nan = false;
    for (std::size_t i = 0; i < n; ++i) {
        const auto v = static_cast<double>(x[i]);
        nan = nan || v != v;
        top = v > top ? v : top;
        if (std::fabs(v) < 1e30) most = std::fabs(v) > most ? std::fabs(v) : most;
    }
    for (std::size_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(x[i]) - top);
    for (std::size_t i = 0; i < n; ++i) {
        const double want = nan ? __builtin_nan("") : std::exp(static_cast<double>(x[i]) - top) / sum;
        // The exponents' own rounding: x - max in float32.
        t.near("y", want, static_cast<double>(y[i]), want * (0x1p-20 + most * 0x1p-22) + 0x1p-126, i);
    }
}

void check_layer_norm_f32(const Trial& t) noexcept {
    const std::size_t n = 1 + t.size(80);
    const std::size_t scale_step = t.random.below(2), shift_step = t.random.below(2);
    float* x = t.floats(n);
    maybe_nan(t, x, n);
    const float* scales = t.floats(scale_step == 0 ? 1 : n);
    const float* shifts = t.random.one_in(4) ? nullptr : t.floats(shift_step == 0 ? 1 : n);
    const double epsilon = 1e-5;
    const float* in = x;
    float* y = smooth_output(t, &in, n);
    double mean = 0.0, squares = 0.0;
    for (std::size_t i = 0; i < n; ++i) mean += static_cast<double>(x[i]);
    mean /= static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i)
        squares += (static_cast<double>(x[i]) - mean) * (static_cast<double>(x[i]) - mean);
    const double factor = 1.0 / std::sqrt(squares / static_cast<double>(n) + epsilon);
    t.isa.layer_norm_f32(in, n, scales, scale_step, shifts, shift_step, epsilon, y);
    for (std::size_t i = 0; i < n; ++i) {
        const double scaled = (static_cast<double>(x[i]) - mean) * factor * static_cast<double>(scales[i * scale_step]);
        const double shift = shifts == nullptr ? 0.0 : static_cast<double>(shifts[i * shift_step]);
        const double error = 0x1p-22 * (std::fabs(scaled) + std::fabs(shift)) + 0x1p-126;
        t.near("y", scaled + shift, static_cast<double>(y[i]), error, i);
    }
}

}  // namespace bitpress::test
