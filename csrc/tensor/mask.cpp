#include "tensor/mask.h"

#include <string.h>

#include "kernels/kernels.h"
#include "tensor/runs.h"

namespace bitpress {
namespace {

// choose[n][k]: sets of k among n, for n up to max_group.
struct Binomials {
    unsigned choose[max_group + 1][max_group + 1] = {};
    constexpr Binomials() noexcept {
        for (unsigned n = 0; n <= max_group; ++n) {
            choose[n][0] = 1;
            for (unsigned k = 1; k <= n; ++k) choose[n][k] = choose[n - 1][k - 1] + choose[n - 1][k];
        }
    }
};
constexpr Binomials binomials;

// Bits of a mask, appended from bit 0 of byte 0 on. Room: ceil(all bits / 8) bytes.
class BitSink {
  public:
    explicit BitSink(std::uint8_t* out) noexcept : out_(out) {}
    // n at most 56; bits above n are zero
    void add(std::uint64_t bits, unsigned n) noexcept {
        held_ |= bits << count_;
        for (count_ += n; count_ >= 8; count_ -= 8) {
            *out_++ = static_cast<std::uint8_t>(held_);
            held_ >>= 8;
        }
    }
    void finish() noexcept {
        if (count_ != 0) *out_ = static_cast<std::uint8_t>(held_);
    }

  private:
    std::uint8_t* out_;
    std::uint64_t held_ = 0;
    unsigned count_ = 0;
};

std::uint64_t low_bits(std::uint64_t n) noexcept { return n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1; }

// A number of `bits` bits, at most 16, that begins at bit `at` of a stream.
unsigned read_bits(Bytes stream, std::uint64_t at, unsigned bits) noexcept {
    const std::size_t byte = static_cast<std::size_t>(at / 8);
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3 && byte + k < stream.size(); ++k) {
        word |= static_cast<std::uint32_t>(stream[byte + k]) << (8 * k);
    }
    return word >> (at % 8) & ((1U << bits) - 1U);
}

bool bit(Bytes stream, std::uint64_t i) noexcept {
    return (stream[static_cast<std::size_t>(i / 8)] >> (i % 8) & 1) != 0;
}

void bitmap_block(Bytes mask, std::uint64_t first, std::size_t n, std::uint8_t* out) noexcept {
    const std::uint8_t* p = mask.data() + first / 8;
    const std::size_t left = mask.size() - static_cast<std::size_t>(first / 8);
    const unsigned shift = static_cast<unsigned>(first % 8);
    const std::size_t bytes = (n + 7) / 8;
    if (shift == 0) memcpy(out, p, bytes);
    for (std::size_t i = 0; i < bytes && shift != 0; ++i) {
        const unsigned high = i + 1 < left ? p[i + 1] : 0U;
        out[i] = static_cast<std::uint8_t>((p[i] | high << 8) >> shift);
    }
    if (n % 8 != 0) out[bytes - 1] = static_cast<std::uint8_t>(out[bytes - 1] & ((1U << n % 8) - 1U));
}

void nm_block(const TensorView& view, std::uint64_t first, std::size_t n, std::uint8_t* out) noexcept {
    const unsigned group = view.scheme.pattern[1];
    const unsigned bits = pattern_bits(view.scheme);
    BitSink sink(out);
    unsigned skip = static_cast<unsigned>(first % group);
    for (std::uint64_t g = first / group; n != 0; ++g) {
        const unsigned pattern = pattern_of(read_bits(view.stream(Role::mask), g * bits, bits), view.scheme) >> skip;
        const unsigned here = group - skip < n ? group - skip : static_cast<unsigned>(n);
        sink.add(pattern & low_bits(here), here);
        n -= here;
        skip = 0;
    }
    sink.finish();
}

void blocks_block(const TensorView& view, std::uint64_t first, std::size_t n, std::uint8_t* out) noexcept {
    const Blocks blocks(view.shape, view.scheme, first + n);
    const Bytes mask = view.stream(Role::mask);
    BitSink sink(out);
    std::uint64_t row = first / blocks.columns;  // NOLINT(clang-analyzer-core.DivideZero): of a tensor with elements
    std::uint64_t column = first % blocks.columns;
    while (n != 0) {
        const std::uint64_t across = column / blocks.width;
        const std::uint64_t end = (across + 1) * blocks.width;
        std::uint64_t left = (end < blocks.columns ? end : blocks.columns) - column;
        if (left > n) left = n;
        const bool stored = bit(mask, row / blocks.height * blocks.across() + across);
        n -= static_cast<std::size_t>(left);
        column += left;
        if (column == blocks.columns) {
            column = 0;
            ++row;
        }
        for (; left != 0;) {
            const unsigned m = left < 32 ? static_cast<unsigned>(left) : 32;
            sink.add(stored ? low_bits(m) : 0, m);
            left -= m;
        }
    }
    sink.finish();
}

// The bits after the last of a mask's, in its last byte, are zero.
bool tail_is_zero(Bytes mask, std::uint64_t bits) noexcept {
    return bits % 8 == 0 || mask.empty() || mask.back() >> (bits % 8) == 0;
}

// Elements in the blocks that a mask names.
std::uint64_t elements_in(const Blocks& blocks, Bytes mask) noexcept {
    const std::uint64_t across = blocks.across();
    std::uint64_t stored = 0;
    for (std::uint64_t i = 0; i < blocks.down(); ++i) {
        std::uint64_t wide = 0;
        for (std::uint64_t k = 0; k + 1 < across; ++k) wide += bit(mask, i * across + k) ? blocks.width : 0;
        if (bit(mask, i * across + across - 1)) wide += blocks.columns - (across - 1) * blocks.width;
        const std::uint64_t left = blocks.rows - i * blocks.height;
        stored += wide * (left < blocks.height ? left : blocks.height);
    }
    return stored;
}

}  // namespace

Blocks::Blocks(const Shape& shape, const Scheme& scheme, std::uint64_t count) noexcept
    : height(scheme.pattern[0]), width(scheme.pattern[1]) {
    if (count == 0) return;
    rows = shape.rank < 2 ? 1 : shape.dims[0];
    columns = 1;
    for (unsigned k = shape.rank < 2 ? 0 : 1; k < shape.rank; ++k) columns *= shape.dims[k];
}

unsigned pattern_count(const Scheme& scheme) noexcept { return binomials.choose[scheme.pattern[1]][scheme.pattern[0]]; }

unsigned pattern_bits(const Scheme& scheme) noexcept {
    return 32U - static_cast<unsigned>(__builtin_clz(pattern_count(scheme) - 1U));  // of two sets or more
}

unsigned pattern_of(unsigned index, const Scheme& scheme) noexcept {
    unsigned pattern = 0;
    unsigned left = scheme.pattern[0];
    for (unsigned place = scheme.pattern[1]; place-- != 0 && left != 0;) {
        const unsigned without = binomials.choose[place][left];
        if (index < without) continue;
        pattern |= 1U << place;
        index -= without;
        --left;
    }
    return pattern;
}

unsigned index_of(unsigned pattern) noexcept {
    unsigned index = 0;
    for (unsigned k = 1; pattern != 0; ++k, pattern &= pattern - 1U) {
        index += binomials.choose[__builtin_ctz(pattern)][k];
    }
    return index;
}

std::uint64_t mask_bytes(const Shape& shape, const Scheme& scheme, std::uint64_t count) noexcept {
    switch (scheme.structure) {
        case Structure::dense: return 0;
        case Structure::bitmap: return packed_bytes(count, 1);
        case Structure::nm: return packed_bytes(count / scheme.pattern[1], pattern_bits(scheme));
        case Structure::block: {
            const Blocks blocks(shape, scheme, count);
            return packed_bytes(blocks.down() * blocks.across(), 1);  // at most count
        }
    }
    return 0;
}

void mask_block(const TensorView& view, std::uint64_t first, std::size_t n, std::uint8_t* out) noexcept {
    if (n == 0) return;
    switch (view.scheme.structure) {
        case Structure::nm: return nm_block(view, first, n, out);
        case Structure::block: return blocks_block(view, first, n, out);
        default: return bitmap_block(view.stream(Role::mask), first, n, out);
    }
}

Status check_mask(const TensorView& view, std::uint64_t count, std::uint64_t* stored) noexcept {
    const Bytes mask = view.stream(Role::mask);
    if (mask.size() != mask_bytes(view.shape, view.scheme, count)) return Status::corrupt;
    if (view.scheme.structure == Structure::nm) {
        const std::uint64_t groups = count / view.scheme.pattern[1];
        const unsigned bits = pattern_bits(view.scheme);
        for (std::uint64_t g = 0; g < groups; ++g) {
            if (read_bits(mask, g * bits, bits) >= pattern_count(view.scheme)) return Status::corrupt;
        }
        *stored = groups * view.scheme.pattern[0];
        return tail_is_zero(mask, groups % 8 * bits) ? Status::ok : Status::corrupt;
    }
    if (view.scheme.structure == Structure::block) {
        const Blocks blocks(view.shape, view.scheme, count);
        if (!tail_is_zero(mask, blocks.down() * blocks.across())) return Status::corrupt;
        *stored = elements_in(blocks, mask);
        return Status::ok;
    }
    *stored = kernels()->count_bits(mask.data(), mask.size());
    return tail_is_zero(mask, count) ? Status::ok : Status::corrupt;
}

std::uint64_t survivors_between(const TensorView& view, std::uint64_t first, std::uint64_t count) noexcept {
    if (view.scheme.structure == Structure::dense) return count;
    const Bytes bitmap = view.stream(Role::mask);
    std::uint64_t survivors = 0;
    std::uint8_t mask[block_elements / 8];
    for (const std::uint64_t end = first + count; first < end;) {
        if (view.scheme.structure == Structure::bitmap && first % 8 == 0 && end - first >= 8) {
            const std::size_t whole = static_cast<std::size_t>((end - first) / 8);
            survivors += kernels()->count_bits(bitmap.data() + first / 8, whole);
            first += 8 * whole;
            continue;
        }
        const bool to_a_byte = view.scheme.structure == Structure::bitmap && first % 8 != 0;
        const std::uint64_t most = to_a_byte ? 8 - first % 8 : block_elements;
        const std::size_t n = static_cast<std::size_t>(end - first < most ? end - first : most);
        mask_block(view, first, n, mask);
        survivors += kernels()->count_bits(mask, (n + 7) / 8);
        first += n;
    }
    return survivors;
}

}  // namespace bitpress
