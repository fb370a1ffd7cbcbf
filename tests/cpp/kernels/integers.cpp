// Integer products of networks, and what they read: equal bits.
#include "trial.h"

namespace bitpress::test {
namespace {

constexpr std::size_t panel = 16;

std::size_t up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

std::size_t matrix(std::size_t rows, std::size_t columns, std::size_t apart) {
    return rows == 0 ? 0 : (rows - 1) * apart + columns;
}

std::size_t draw_depth(const Trial& t, std::size_t most) { return t.random.one_in(8) ? 512 : t.size(most); }

// Rows of activations: common ones, now and then with odd values, or all of them tiny.
float* activations(const Trial& t, std::size_t n) {
    float* x = t.floats(n);
    for (std::size_t odd = t.random.below(4); odd > 2 && n != 0; odd = t.random.below(4)) {
        x[t.random.below(n)] = t.one_float(Draw::any);
    }
    for (std::size_t i = 0; t.random.one_in(10) && i < n; ++i) x[i] *= 0x1p-110F;
    return x;
}

// What the products of all widths take besides their weights.
struct Ends {
    std::size_t m, n, ldc;
    const float* column_scales;
    const float* row_scales;
    const float* starts;
    Two<float> c;
    float low, high;
};

Ends draw_ends(const Trial& t) {
    static constexpr float bounds[][2] = {{-__builtin_inff(), __builtin_inff()}, {0.0F, 6.0F}, {-0.25F, 0.25F}};
    Ends e{};
    e.m = t.random.below(15);
    e.n = t.size(50);
    e.ldc = e.n + t.random.below(3);
    const bool odd = t.random.one_in(8);
    float* columns = t.floats(e.n, odd ? Draw::any : Draw::unit);
    float* rows = t.floats(e.m, odd ? Draw::any : Draw::unit);
    for (std::size_t j = 0; j < e.n; ++j) columns[j] *= 0.001F;
    e.column_scales = columns;
    e.row_scales = rows;
    e.starts = t.random.one_in(2) ? t.floats(e.m) : nullptr;
    const float* c = t.floats(matrix(e.m, e.n, e.ldc));
    e.c = t.out<float>(matrix(e.m, e.n, e.ldc));
    for (std::size_t i = 0; i < matrix(e.m, e.n, e.ldc); ++i) e.c.plain[i] = e.c.isa[i] = c[i];
    const float* to = bounds[t.random.below(3)];
    e.low = to[0];
    e.high = to[1];
    return e;
}

}  // namespace

void check_quantize_columns_s16(const Trial& t) noexcept {
    const std::size_t k = draw_depth(t, 40), step = panel + t.random.below(4);
    const float* x = activations(t, matrix(k, panel, step));
    const auto codes = t.out<std::int16_t>(2 * panel * ((k + 1) / 2));
    const auto scales = t.out<float>(panel);
    const int largest = t.random.one_in(2) ? 127 : 32767;
    t.plain.quantize_columns_s16(x, step, k, largest, codes.plain, scales.plain);
    t.isa.quantize_columns_s16(x, step, k, largest, codes.isa, scales.isa);
    t.same_floats("scales", scales.plain, scales.isa, panel);
    t.same("codes", codes, 2 * panel * ((k + 1) / 2));
}

void check_quantize_columns_s8(const Trial& t) noexcept {
    const std::size_t k = draw_depth(t, 40), step = panel + t.random.below(4);
    const float* x = activations(t, matrix(k, panel, step));
    const auto codes = t.out<std::int8_t>(panel * up(k, 4));
    const auto scales = t.out<float>(panel);
    const auto sums = t.out<std::int32_t>(panel);
    t.plain.quantize_columns_s8(x, step, k, codes.plain, scales.plain, sums.plain);
    t.isa.quantize_columns_s8(x, step, k, codes.isa, scales.isa, sums.isa);
    t.same_floats("scales", scales.plain, scales.isa, panel);
    t.same("codes", codes, panel * up(k, 4));
    t.same("sums", sums, panel);
}

void check_gemm_codes_s8(const Trial& t) noexcept {
    const Ends e = draw_ends(t);
    const std::size_t k = draw_depth(t, 60), quads = (k + 3) / 4, lda = 4 * quads + t.random.below(4);
    const bool extreme = t.random.one_in(4);
    std::uint8_t* a = t.bytes(matrix(e.m, 4 * quads, lda));
    for (std::size_t i = 0; extreme && i < matrix(e.m, 4 * quads, lda); ++i) a[i] = 255;
    const std::size_t all = up(e.n, panel) * 4 * quads;
    auto* panels = t.room<std::int8_t>(all);
    auto* sums = t.room<std::int32_t>(e.n);
    for (std::size_t j = 0; j < e.n; ++j) sums[j] = 0;
    for (std::size_t i = 0; i < all; ++i) {
        const std::size_t p = i / 64 % (quads == 0 ? 1 : quads) * 4 + i % 4, j = i / (64 * quads) * panel + i % 64 / 4;
        panels[i] = static_cast<std::int8_t>(p >= k ? 0 : extreme ? -127 : static_cast<int>(t.random.below(255)) - 127);
        if (j < e.n) sums[j] += panels[i];
    }
    const int zero = extreme ? 0 : static_cast<int>(t.random.below(256));
    t.plain.gemm_codes_s8(e.m, e.n, quads, a, lda, zero, panels, sums, e.column_scales, e.row_scales, e.starts,
                          e.c.plain, e.ldc, e.low, e.high);
    t.isa.gemm_codes_s8(e.m, e.n, quads, a, lda, zero, panels, sums, e.column_scales, e.row_scales, e.starts, e.c.isa,
                        e.ldc, e.low, e.high);
    t.same_floats("c", e.c.plain, e.c.isa, matrix(e.m, e.n, e.ldc));
}

void check_widen_codes_s16(const Trial& t) noexcept {
    const std::size_t n = t.size(300);
    const std::uint8_t* codes = t.bytes(n);
    const int factor = static_cast<int>(1 + t.random.below(2)), zero = static_cast<int>(t.random.below(257));
    const auto values = t.out<std::int16_t>(n);
    t.plain.widen_codes_s16(codes, n, factor, zero, values.plain);
    t.isa.widen_codes_s16(codes, n, factor, zero, values.isa);
    t.same("values", values, n);
}

void check_quantize_row_s16(const Trial& t) noexcept {
    const std::size_t k = draw_depth(t, 80);
    const float* x = activations(t, k);
    const auto codes = t.out<std::int16_t>(up(k, 2));
    float scale[2];
    t.plain.quantize_row_s16(x, k, codes.plain, scale);
    t.isa.quantize_row_s16(x, k, codes.isa, scale + 1);
    t.same_floats("scale", scale, scale + 1, 1);
    t.same("codes", codes, up(k, 2));
}

void check_panel_rows_s16(const Trial& t) noexcept {
    const std::size_t width = t.size(50), k = t.size(70), stride = k + t.random.below(4);
    const std::uint8_t* codes = t.bytes(matrix(width, k, stride));
    const int factor = static_cast<int>(1 + t.random.below(2)), zero = static_cast<int>(t.random.below(257));
    const std::size_t all = up(width, panel) * up(k, 2);
    const auto panels = t.out<std::int16_t>(all);
    t.plain.panel_rows_s16(codes, stride, width, k, factor, zero, panels.plain);
    t.isa.panel_rows_s16(codes, stride, width, k, factor, zero, panels.isa);
    t.same("panels", panels, all);
}

void check_panel_columns_s16(const Trial& t) noexcept {
    const std::size_t width = t.size(50), k = t.size(70), stride = width + t.random.below(4);
    const std::uint8_t* codes = t.bytes(matrix(k, width, stride));
    const int factor = static_cast<int>(1 + t.random.below(2)), zero = static_cast<int>(t.random.below(257));
    const std::size_t all = up(width, panel) * up(k, 2);
    const auto panels = t.out<std::int16_t>(all);
    t.plain.panel_columns_s16(codes, stride, width, k, factor, zero, panels.plain);
    t.isa.panel_columns_s16(codes, stride, width, k, factor, zero, panels.isa);
    t.same("panels", panels, all);
}

void check_gemm_s16(const Trial& t) noexcept {
    const Ends e = draw_ends(t);
    const std::size_t k = draw_depth(t, 40), pairs = (k + 1) / 2, lda = 2 * pairs + t.random.below(4);
    const bool extreme = t.random.one_in(4);
    auto* a = t.room<std::int16_t>(matrix(e.m, 2 * pairs, lda));
    for (std::size_t i = 0; i < matrix(e.m, 2 * pairs, lda); ++i) {
        a[i] = static_cast<std::int16_t>(extreme ? -128 : static_cast<int>(t.random.below(257)) - 128);
    }
    const std::size_t all = up(e.n, panel) * 2 * pairs;
    auto* panels = t.room<std::int16_t>(all);
    for (std::size_t i = 0; i < all; ++i) {
        const bool past = k % 2 != 0 && i % (up(1, panel) * 2 * pairs) / 32 == pairs - 1 && i % 2 == 1;
        const int code = extreme ? 32767 : static_cast<int>(t.random.below(65535)) - 32767;
        panels[i] = static_cast<std::int16_t>(past ? 0 : code);
    }
    t.plain.gemm_s16(e.m, e.n, pairs, a, lda, panels, e.column_scales, e.row_scales, e.starts, e.c.plain, e.ldc, e.low,
                     e.high);
    t.isa.gemm_s16(e.m, e.n, pairs, a, lda, panels, e.column_scales, e.row_scales, e.starts, e.c.isa, e.ldc, e.low,
                   e.high);
    t.same_floats("c", e.c.plain, e.c.isa, matrix(e.m, e.n, e.ldc));
}

void check_quantize_row_s8(const Trial& t) noexcept {
    const std::size_t spread = std::size_t{1} << t.random.below(3);
    const std::size_t k = spread == 1 ? draw_depth(t, 100) : t.random.below(5) * 32 * spread;
    const float* x = activations(t, k);
    const auto codes = t.out<std::int8_t>(up(k, 4));
    float scale[2];
    std::int32_t sum[2];
    t.plain.quantize_row_s8(x, k, spread, codes.plain, scale, sum);
    t.isa.quantize_row_s8(x, k, spread, codes.isa, scale + 1, sum + 1);
    t.same_floats("scale", scale, scale + 1, 1);
    t.same("sum", sum, sum + 1, sizeof *sum);
    t.same("codes", codes, up(k, 4));
}

void check_panel_columns_u8(const Trial& t) noexcept {
    const std::size_t width = t.size(50), k = t.size(70), stride = width + t.random.below(4);
    const std::uint8_t* codes = t.bytes(matrix(k, width, stride), 16);
    const std::size_t all = up(width, panel) * up(k, 4);
    const auto panels = t.out<std::uint8_t>(all);
    t.plain.panel_columns_u8(codes, stride, width, k, panels.plain);
    t.isa.panel_columns_u8(codes, stride, width, k, panels.isa);
    t.same("panels", panels, all);
}

void check_panel_rows_u8(const Trial& t) noexcept {
    const std::size_t width = t.size(50), k = t.size(140), stride = k + t.random.below(4);
    const std::uint8_t* codes = t.bytes(matrix(width, k, stride));
    const std::size_t all = up(width, panel) * up(k, 4);
    const auto panels = t.out<std::uint8_t>(all);
    t.plain.panel_rows_u8(codes, stride, width, k, panels.plain);
    t.isa.panel_rows_u8(codes, stride, width, k, panels.isa);
    t.same("panels", panels, all);
}

void check_panel_packed_u8(const Trial& t) noexcept {
    const unsigned bits = t.random.one_in(2) ? 2 : 4;
    const std::size_t width = t.size(50), k = t.random.below(5) * 256 / bits;
    const std::size_t stride = k * bits / 8 + t.random.below(4);
    const std::uint8_t* packed = t.bytes(matrix(width, k * bits / 8, stride));
    const std::size_t all = up(width, panel) * k;
    const auto panels = t.out<std::uint8_t>(all);
    t.plain.panel_packed_u8(bits, packed, stride, width, k, panels.plain);
    t.isa.panel_packed_u8(bits, packed, stride, width, k, panels.isa);
    t.same("panels", panels, all);
}

void check_spread_panel_u8(const Trial& t) noexcept {
    const unsigned bits = t.random.one_in(2) ? 2 : 4;
    const std::size_t k = t.random.below(40) * 32 / bits;
    const std::uint8_t* packed = t.bytes(2 * k * bits);
    const auto codes = t.out<std::uint8_t>(panel * k);
    t.plain.spread_panel_u8(bits, packed, k, codes.plain);
    t.isa.spread_panel_u8(bits, packed, k, codes.isa);
    t.same("panel", codes, panel * k);
}

void check_gemm_u8s8(const Trial& t) noexcept {
    const Ends e = draw_ends(t);
    const auto bits = static_cast<unsigned>(2 + t.random.below(7));
    const std::size_t quads = draw_depth(t, 80) / 4, lda = 4 * quads + t.random.below(4);
    const std::size_t extreme = t.random.below(8);
    auto* a = t.room<std::int8_t>(matrix(e.m, 4 * quads, lda));
    const auto sums = t.out<std::int32_t>(e.m);
    for (std::size_t i = 0; i < matrix(e.m, 4 * quads, lda); ++i) {
        const int code = static_cast<int>(t.random.below(255)) - 127;
        a[i] = static_cast<std::int8_t>(extreme == 0 ? 127 : extreme == 1 ? -127 : code);
    }
    for (std::size_t i = 0; i < e.m; ++i) {
        sums.plain[i] = 0;
        for (std::size_t p = 0; p < 4 * quads; ++p) sums.plain[i] += a[i * lda + p];
    }
    const std::size_t all = up(e.n, panel) * 4 * quads;
    std::uint8_t* panels = t.bytes(all, std::size_t{1} << bits);
    for (std::size_t i = 0; extreme < 2 && i < all; ++i) panels[i] = static_cast<std::uint8_t>((1U << bits) - 1U);
    auto* zeros = t.room<std::int32_t>(e.n);
    for (std::size_t j = 0; j < e.n; ++j) zeros[j] = static_cast<std::int32_t>(t.random.below(256));
    t.plain.gemm_u8s8(e.m, e.n, quads, bits, a, lda, sums.plain, panels, zeros, e.column_scales, e.row_scales, e.starts,
                      e.c.plain, e.ldc, e.low, e.high);
    t.isa.gemm_u8s8(e.m, e.n, quads, bits, a, lda, sums.plain, panels, zeros, e.column_scales, e.row_scales, e.starts,
                    e.c.isa, e.ldc, e.low, e.high);
    t.same_floats("c", e.c.plain, e.c.isa, matrix(e.m, e.n, e.ldc));
}

// What meets `rows` rows of k codes in blocks, and where the results go.
struct DotsWith {
    std::int8_t* x;
    std::int32_t* sums;
    const float *x_scales, *scales;
    const std::uint8_t* zeros;
    std::size_t row_step, block_step;
    Two<float> y;
};

DotsWith draw_dots(const Trial& t, unsigned bits, std::size_t rows, std::size_t k, std::size_t block,
                   std::size_t extreme) noexcept {
    const std::size_t blocks = (k + block - 1) / block;
    auto* x = t.room<std::int8_t>(k);
    for (std::size_t p = 0; p < k; ++p) {
        const int code = static_cast<int>(t.random.below(255)) - 127;
        x[p] = static_cast<std::int8_t>(extreme == 0 ? 127 : extreme == 1 ? -127 : code);
    }
    auto* sums = t.room<std::int32_t>(blocks);
    for (std::size_t b = 0; b < blocks; ++b) {
        sums[b] = 0;
        for (std::size_t p = b * block; p < k && p < (b + 1) * block; ++p) sums[b] += x[p];
    }
    const float* x_scales = t.floats(blocks);
    const bool by_block = t.random.one_in(2);
    const std::size_t block_step = by_block ? rows + t.random.below(3) : 1;
    const std::size_t row_step = by_block ? 1 : blocks + t.random.below(3);
    const std::size_t n_scales = rows == 0 || blocks == 0 ? 0 : (rows - 1) * row_step + (blocks - 1) * block_step + 1;
    const float* scales = t.floats(n_scales);
    const std::uint8_t* zeros = t.random.one_in(2) ? t.bytes(n_scales, std::size_t{1} << bits) : nullptr;
    const auto y = t.out<float>(rows);
    for (std::size_t j = 0; j < rows; ++j) y.plain[j] = y.isa[j] = t.random.unit();
    return {x, sums, x_scales, scales, zeros, row_step, block_step, y};
}

void check_dots_u8s8(const Trial& t) noexcept {
    const unsigned bits = t.random.one_in(2) ? 2 : 4;
    const std::size_t unit = 256 / bits;
    const std::size_t rows = t.random.below(14), k = t.random.below(10) * unit;
    const std::size_t block = unit * (1 + t.random.below(512 / unit));
    const std::size_t stride = k * bits / 8 + t.random.below(4);
    const std::size_t extreme = t.random.below(8);
    std::uint8_t* packed = t.bytes(matrix(rows, k * bits / 8, stride));
    for (std::size_t i = 0; extreme < 2 && i < matrix(rows, k * bits / 8, stride); ++i) packed[i] = 255;
    const DotsWith d = draw_dots(t, bits, rows, k, block, extreme);
    t.plain.dots_u8s8(bits, packed, stride, rows, k, block, d.x, d.sums, d.x_scales, d.scales, d.zeros, d.row_step,
                      d.block_step, d.y.plain);
    t.isa.dots_u8s8(bits, packed, stride, rows, k, block, d.x, d.sums, d.x_scales, d.scales, d.zeros, d.row_step,
                    d.block_step, d.y.isa);
    t.same_floats("y", d.y.plain, d.y.isa, rows);
}

void check_panel_dots_u8s8(const Trial& t) noexcept {
    const unsigned bits = 2U << t.random.below(3);
    const std::size_t unit = 32 / bits;
    const std::size_t count = t.random.below(4), k = t.random.below(100) * unit;
    const std::size_t block = unit * (1 + t.random.below(512 / unit));
    const std::size_t extreme = t.random.below(8);
    std::uint8_t* packed = t.bytes(count * 2 * k * bits);
    for (std::size_t i = 0; extreme < 2 && i < count * 2 * k * bits; ++i) packed[i] = 255;
    const DotsWith d = draw_dots(t, bits, count * panel, k, block, extreme);
    t.plain.panel_dots_u8s8(bits, packed, count, k, block, d.x, d.sums, d.x_scales, d.scales, d.zeros, d.row_step,
                            d.block_step, d.y.plain);
    t.isa.panel_dots_u8s8(bits, packed, count, k, block, d.x, d.sums, d.x_scales, d.scales, d.zeros, d.row_step,
                          d.block_step, d.y.isa);
    t.same_floats("y", d.y.plain, d.y.isa, count * panel);
}

}  // namespace bitpress::test
