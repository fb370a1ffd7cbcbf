// Packed codes, quantization, bitmaps, half floats, planes, counts and checksums: equal bits.
#include "trial.h"

namespace bitpress::test {
namespace {
std::size_t packed_bytes(std::size_t n, unsigned bits) { return (n * bits + 7) / 8; }

// Zeros and ones, of all densities.
std::uint8_t* mask_of(const Trial& t, std::size_t n) {
    const std::size_t n_bytes = (n + 7) / 8;
    std::uint8_t* mask = t.bytes(n_bytes);
    const std::size_t kind = t.random.below(4);
    for (std::size_t i = 0; i < n_bytes; ++i) {
        if (kind == 0) mask[i] = static_cast<std::uint8_t>(mask[i] & t.random.next() & t.random.next());
        if (kind == 1) mask[i] = t.random.one_in(2) ? 0 : 255;
    }
    if (n % 8 != 0) mask[n_bytes - 1] = static_cast<std::uint8_t>(mask[n_bytes - 1] & ((1U << n % 8) - 1U));
    return mask;
}

struct Grid {
    unsigned low, high;
    float scale, zero;
};

Grid grid(const Trial& t, unsigned most_bits) {
    const auto bits = static_cast<unsigned>(most_bits - 7 + t.random.below(8));
    const unsigned high = (1U << bits) - 1U;
    const auto low = static_cast<unsigned>(t.random.below(2));
    const bool halves = bits == 1;
    return {halves ? 0 : low, high, t.scale(), halves ? 0.5F : static_cast<float>(t.random.below(high + 1))};
}
}  // namespace

void check_pack_bits(const Trial& t) noexcept {
    const auto bits = static_cast<unsigned>(1 + t.random.below(8));
    const std::size_t n = t.size(700);
    const std::uint8_t* codes = t.bytes(n, std::size_t{1} << bits);
    const auto packed = t.out<std::uint8_t>(packed_bytes(n, bits));
    t.plain.pack_bits(codes, n, bits, packed.plain);
    t.isa.pack_bits(codes, n, bits, packed.isa);
    t.same("packed", packed, packed_bytes(n, bits));
}

void check_unpack_bits(const Trial& t) noexcept {
    const auto bits = static_cast<unsigned>(1 + t.random.below(8));
    const std::size_t n_bytes = t.size(700);
    const std::size_t held = n_bytes * 8 / bits;
    const std::size_t first = t.random.one_in(2) ? 0 : t.random.below(held + 1);
    const std::size_t n = t.random.one_in(2) ? held - first : t.random.below(held - first + 1);
    const std::uint8_t* packed = t.bytes(n_bytes);
    const auto codes = t.out<std::uint8_t>(n);
    t.plain.unpack_bits(packed, n_bytes, first, n, bits, codes.plain);
    t.isa.unpack_bits(packed, n_bytes, first, n, bits, codes.isa);
    t.same("codes", codes, n);
}

void check_pack_wide(const Trial& t) noexcept {
    const auto bits = static_cast<unsigned>(9 + t.random.below(8));
    const std::size_t n = t.size(300);
    const std::uint16_t* codes = t.words(n, std::size_t{1} << bits);
    const auto packed = t.out<std::uint8_t>(packed_bytes(n, bits));
    t.plain.pack_wide(codes, n, bits, packed.plain);
    t.isa.pack_wide(codes, n, bits, packed.isa);
    t.same("packed", packed, packed_bytes(n, bits));
}

void check_unpack_wide(const Trial& t) noexcept {
    const auto bits = static_cast<unsigned>(9 + t.random.below(8));
    const std::size_t n_bytes = t.size(500);
    const std::size_t held = n_bytes * 8 / bits;
    const std::size_t first = t.random.one_in(2) ? 0 : t.random.below(held + 1);
    const std::size_t n = t.random.one_in(2) ? held - first : t.random.below(held - first + 1);
    const std::uint8_t* packed = t.bytes(n_bytes);
    const auto codes = t.out<std::uint16_t>(n);
    t.plain.unpack_wide(packed, n_bytes, first, n, bits, codes.plain);
    t.isa.unpack_wide(packed, n_bytes, first, n, bits, codes.isa);
    t.same("codes", codes, n);
}

void check_pack_lanes(const Trial& t) noexcept {
    const auto bits = static_cast<unsigned>(1 + t.random.below(8));
    const std::size_t blocks = t.random.below(4);
    const std::uint8_t* codes = t.bytes(1024 * blocks, std::size_t{1} << bits);
    const auto packed = t.out<std::uint8_t>(128 * bits * blocks);
    t.plain.pack_lanes(codes, blocks, bits, packed.plain);
    t.isa.pack_lanes(codes, blocks, bits, packed.isa);
    t.same("packed", packed, 128 * bits * blocks);
}

void check_unpack_lanes(const Trial& t) noexcept {
    const auto bits = static_cast<unsigned>(1 + t.random.below(8));
    const std::size_t blocks = t.random.below(4);
    const std::uint8_t* packed = t.bytes(128 * bits * blocks);
    const auto codes = t.out<std::uint8_t>(1024 * blocks);
    t.plain.unpack_lanes(packed, blocks, bits, codes.plain);
    t.isa.unpack_lanes(packed, blocks, bits, codes.isa);
    t.same("codes", codes, 1024 * blocks);
}

void check_unpack_lanes_s8(const Trial& t) noexcept {
    const auto bits = static_cast<unsigned>(1 + t.random.below(8));
    const std::size_t blocks = t.random.below(4);
    const auto zero = static_cast<unsigned>(t.random.below(std::size_t{1} << bits));
    const std::uint8_t* packed = t.bytes(128 * bits * blocks);
    const auto values = t.out<std::int8_t>(1024 * blocks);
    t.plain.unpack_lanes_s8(packed, blocks, bits, zero, values.plain);
    t.isa.unpack_lanes_s8(packed, blocks, bits, zero, values.isa);
    t.same("values", values, 1024 * blocks);
}

void check_unpack_lanes_f32(const Trial& t) noexcept {
    const auto bits = static_cast<unsigned>(1 + t.random.below(8));
    const std::size_t blocks = t.random.below(4);
    const float scale = t.scale();
    const float zero = t.random.one_in(2) ? 0.3F : static_cast<float>(t.random.below(256));
    const std::uint8_t* packed = t.bytes(128 * bits * blocks);
    const auto values = t.out<float>(1024 * blocks);
    t.plain.unpack_lanes_f32(packed, blocks, bits, scale, zero, values.plain);
    t.isa.unpack_lanes_f32(packed, blocks, bits, scale, zero, values.isa);
    t.same("values", values, 1024 * blocks);
}

void check_quantize(const Trial& t) noexcept {
    const std::size_t n = t.size(200);
    const Grid g = grid(t, 8);
    const float* x = t.floats(n, Draw::finite);
    const auto codes = t.out<std::uint8_t>(n);
    t.plain.quantize(x, n, g.scale, g.zero, g.low, g.high, codes.plain);
    t.isa.quantize(x, n, g.scale, g.zero, g.low, g.high, codes.isa);
    t.same("codes", codes, n);
}

void check_quantize_each(const Trial& t) noexcept {
    const std::size_t n = t.size(200);
    const Grid g = grid(t, 8);
    const float* x = t.floats(n, Draw::finite);
    float* scales = t.floats(n);
    float* zeros = t.floats(n);
    for (std::size_t i = 0; i < n; ++i) {
        scales[i] = t.scale();
        zeros[i] = g.zero;
    }
    const auto codes = t.out<std::uint8_t>(n);
    t.plain.quantize_each(x, n, scales, zeros, g.low, g.high, codes.plain);
    t.isa.quantize_each(x, n, scales, zeros, g.low, g.high, codes.isa);
    t.same("codes", codes, n);
}

void check_quantize_wide(const Trial& t) noexcept {
    const std::size_t n = t.size(200);
    const Grid g = grid(t, 16);
    const float* x = t.floats(n, Draw::finite);
    float* scales = t.floats(n);
    float* zeros = t.floats(n);
    for (std::size_t i = 0; i < n; ++i) {
        scales[i] = t.scale() * 0.001F;
        zeros[i] = g.zero;
    }
    const auto codes = t.out<std::uint16_t>(n);
    t.plain.quantize_wide(x, n, scales, zeros, g.low, g.high, codes.plain);
    t.isa.quantize_wide(x, n, scales, zeros, g.low, g.high, codes.isa);
    t.same("codes", codes, n);
}

void check_dequantize(const Trial& t) noexcept {
    const std::size_t n = t.size(200);
    const Grid g = grid(t, 8);
    const std::uint8_t* codes = t.bytes(n);
    const float zero = t.random.one_in(2) ? g.zero : t.random.unit();
    const auto x = t.out<float>(n);
    t.plain.dequantize(codes, n, g.scale, zero, x.plain);
    t.isa.dequantize(codes, n, g.scale, zero, x.isa);
    t.same("x", x, n);
}

void check_dequantize_each(const Trial& t) noexcept {
    const std::size_t n = t.size(200);
    const std::uint8_t* codes = t.bytes(n);
    const float* scales = t.floats(n);
    const float* zeros = t.floats(n);
    const auto x = t.out<float>(n);
    t.plain.dequantize_each(codes, n, scales, zeros, x.plain);
    t.isa.dequantize_each(codes, n, scales, zeros, x.isa);
    t.same("x", x, n);
}

void check_dequantize_wide(const Trial& t) noexcept {
    const std::size_t n = t.size(200);
    const std::uint16_t* codes = t.words(n);
    const float* scales = t.floats(n);
    const float* zeros = t.floats(n);
    const auto x = t.out<float>(n);
    t.plain.dequantize_wide(codes, n, scales, zeros, x.plain);
    t.isa.dequantize_wide(codes, n, scales, zeros, x.isa);
    t.same("x", x, n);
}

void check_look_up(const Trial& t) noexcept {
    const std::size_t n = t.size(200);
    const unsigned bits = 1 + static_cast<unsigned>(t.random.below(8));
    const unsigned vector = t.random.one_in(2) ? 1 : 1 + static_cast<unsigned>(t.random.below(8));
    const std::size_t entries = std::size_t{1} << bits;
    const std::uint8_t* codes = t.bytes(n, entries);
    const std::uint8_t* book = t.bytes(4 * entries * vector);
    const auto x = t.out<float>(n * vector);
    t.plain.look_up(codes, n, bits, vector, book, x.plain);
    t.isa.look_up(codes, n, bits, vector, book, x.isa);
    t.same("x", x, n * vector);
}

void check_min_max(const Trial& t) noexcept {
    const std::size_t n = 1 + t.size(200);
    const float* x = t.floats(n, t.random.one_in(3) ? Draw::any : Draw::finite);
    float low[2], high[2];
    bool finite[2];
    t.plain.min_max(x, n, low, high, finite);
    t.isa.min_max(x, n, low + 1, high + 1, finite + 1);
    t.same_number("finite", finite[0] ? 1 : 0, finite[1] ? 1 : 0);
    if (!finite[0]) return;
    t.same("low", low, low + 1, sizeof(float));
    t.same("high", high, high + 1, sizeof(float));
}

void check_min_max_each(const Trial& t) noexcept {
    const std::size_t n = t.size(200);
    const float* x = t.floats(n, t.random.one_in(3) ? Draw::any : Draw::finite);
    const auto low = t.out<float>(n);
    const auto high = t.out<float>(n);
    for (std::size_t i = 0; i < n; ++i) {
        low.plain[i] = low.isa[i] = t.one_float(Draw::finite);
        high.plain[i] = high.isa[i] = t.one_float(Draw::finite);
    }
    const bool a = t.plain.min_max_each(x, n, low.plain, high.plain);
    const bool b = t.isa.min_max_each(x, n, low.isa, high.isa);
    t.same_number("finite", a ? 1 : 0, b ? 1 : 0);
    t.same("low", low, n);
    t.same("high", high, n);
}

void check_mask_nonzero(const Trial& t) noexcept {
    const std::size_t n = t.size(400);
    float* x = t.floats(n, Draw::any);
    for (std::size_t i = 0; i < n; ++i) {
        if (t.random.one_in(2)) x[i] = t.random.one_in(2) ? 0.0F : -0.0F;
    }
    const auto mask = t.out<std::uint8_t>((n + 7) / 8);
    t.plain.mask_nonzero(x, n, mask.plain);
    t.isa.mask_nonzero(x, n, mask.isa);
    t.same("mask", mask, (n + 7) / 8);
}

void check_count_bits(const Trial& t) noexcept {
    const std::size_t n = t.size(t.random.one_in(4) ? 20000 : 300);
    const std::uint8_t* mask = mask_of(t, 8 * n);
    t.same_number("count", t.plain.count_bits(mask, n), t.isa.count_bits(mask, n));
}

void check_compress_bytes(const Trial& t) noexcept {
    const std::size_t n = t.size(500);
    const std::uint8_t* in = t.bytes(n);
    const std::uint8_t* mask = mask_of(t, n);
    const auto out = t.out<std::uint8_t>(n);
    const std::size_t kept = t.plain.compress_bytes(in, n, mask, out.plain);
    t.same_number("kept", kept, t.isa.compress_bytes(in, n, mask, out.isa));
    t.same("out", out, kept);
}

void check_expand_bytes(const Trial& t) noexcept {
    const std::size_t n = t.size(500);
    const std::uint8_t* mask = mask_of(t, n);
    const auto fill = static_cast<std::uint8_t>(t.random.next());
    const auto n_in = static_cast<std::size_t>(t.plain.count_bits(mask, (n + 7) / 8));
    if (t.random.one_in(2)) {
        const std::size_t more = t.random.one_in(2) ? t.random.below(40) : 0;
        const std::uint8_t* in = t.bytes(n_in + more);
        const auto out = t.out<std::uint8_t>(n);
        t.plain.expand_bytes(in, n_in + more, mask, n, fill, out.plain);
        t.isa.expand_bytes(in, n_in + more, mask, n, fill, out.isa);
        t.same("out", out, n);
        return;
    }
    const std::size_t all = n + (t.random.one_in(2) ? t.random.below(40) : 0);  // survivors at the end of the output
    const auto out = t.out<std::uint8_t>(all);
    t.plain.expand_bytes(out.plain + all - n_in, n_in, mask, n, fill, out.plain);
    t.isa.expand_bytes(out.isa + all - n_in, n_in, mask, n, fill, out.isa);
    t.same("out, in place", out, n);
}

void check_mask_other(const Trial& t) noexcept {
    const std::size_t n = t.size(400);
    const std::uint8_t* in = t.bytes(n, 1 + t.random.below(4));
    const auto mask = t.out<std::uint8_t>((n + 7) / 8);
    const auto value = static_cast<std::uint8_t>(t.random.below(3));
    t.plain.mask_other(in, n, value, mask.plain);
    t.isa.mask_other(in, n, value, mask.isa);
    t.same("mask", mask, (n + 7) / 8);
}

void check_write_gaps(const Trial& t) noexcept {
    const std::size_t n = t.size(4000);
    std::uint8_t* mask = t.bytes((n + 7) / 8, 256);
    const std::size_t rare = t.random.below(200);  // of bytes that are not zero
    for (std::size_t i = 0; i < (n + 7) / 8; ++i) {
        if (rare != 0 && !t.random.one_in(rare)) mask[i] = 0;
    }
    if (n % 8 != 0) mask[n / 8] = static_cast<std::uint8_t>(mask[n / 8] & ((1U << n % 8) - 1U));
    const std::size_t room = static_cast<std::size_t>(t.plain.count_bits(mask, (n + 7) / 8)) + n / 255 + 64;
    const auto gaps = t.out<std::uint8_t>(room);
    const std::size_t written = t.plain.write_gaps(mask, n, gaps.plain);
    t.same_number("written", written, t.isa.write_gaps(mask, n, gaps.isa));
    t.same("gaps", gaps, written);
}

void check_mask_positions(const Trial& t) noexcept {
    const std::size_t n = t.size(4000);
    std::uint8_t* mask = t.bytes((n + 7) / 8, 256);
    if (n % 8 != 0) mask[n / 8] = static_cast<std::uint8_t>(mask[n / 8] & ((1U << n % 8) - 1U));
    const auto start = static_cast<unsigned>(t.random.below(65537 - n));
    const auto positions = t.out<std::uint16_t>(static_cast<std::size_t>(t.plain.count_bits(mask, (n + 7) / 8)) + 64);
    const std::size_t count = t.plain.mask_positions(mask, n, start, positions.plain);
    t.same_number("count", count, t.isa.mask_positions(mask, n, start, positions.isa));
    t.same("positions", positions, count);
}

void check_clear_unmasked(const Trial& t) noexcept {
    const std::size_t n = t.size(400);
    const std::uint8_t* mask = mask_of(t, n);
    const auto x = t.out<float>(n);
    t.plain.clear_unmasked(mask, n, x.plain);
    t.isa.clear_unmasked(mask, n, x.isa);
    t.same("x", x, n);
}

void check_f16_to_f32(const Trial& t) noexcept {
    const std::size_t n = t.size(400);
    const std::uint8_t* half = t.bytes(2 * n);
    const auto x = t.out<float>(n);
    t.plain.f16_to_f32(half, n, x.plain);
    t.isa.f16_to_f32(half, n, x.isa);
    t.same("x", x, n);
}

void check_bf16_to_f32(const Trial& t) noexcept {
    const std::size_t n = t.size(400);
    const std::uint8_t* half = t.bytes(2 * n);
    const auto x = t.out<float>(n);
    t.plain.bf16_to_f32(half, n, x.plain);
    t.isa.bf16_to_f32(half, n, x.isa);
    t.same("x", x, n);
}

void check_xxh64(const Trial& t) noexcept {
    const std::size_t n = t.size(400);
    const std::uint8_t* data = t.bytes(n);
    const std::uint64_t seed = t.random.next();
    t.same_number("hash", t.plain.xxh64(data, n, seed), t.isa.xxh64(data, n, seed));
}

void check_split_planes(const Trial& t) noexcept {
    const auto kind = static_cast<PlaneKind>(t.random.below(plane_kinds));
    const unsigned width = plane_count(kind);
    const std::size_t n = t.size(200);
    const std::uint8_t* in = t.bytes(n * width);
    std::uint8_t* planes[2][max_planes] = {};
    for (unsigned k = 0; k < width; ++k) {
        const auto plane = t.out<std::uint8_t>(n);
        planes[0][k] = plane.plain;
        planes[1][k] = plane.isa;
    }
    t.plain.split_planes(kind, in, n, planes[0]);
    t.isa.split_planes(kind, in, n, planes[1]);
    for (unsigned k = 0; k < width; ++k) t.same("plane", planes[0][k], planes[1][k], n);
}

void check_join_planes(const Trial& t) noexcept {
    const auto kind = static_cast<PlaneKind>(t.random.below(plane_kinds));
    const unsigned width = plane_count(kind);
    const std::size_t n = t.size(200);
    const std::uint8_t* planes[max_planes] = {};
    for (unsigned k = 0; k < width; ++k) planes[k] = t.bytes(n);
    const auto out = t.out<std::uint8_t>(n * width);
    t.plain.join_planes(kind, planes, n, out.plain);
    t.isa.join_planes(kind, planes, n, out.isa);
    t.same("out", out, n * width);
}

}  // namespace bitpress::test
