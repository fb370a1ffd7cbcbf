// Walks the elements of a grid run by run, and spreads scales over elements. Shared by pack.cpp and unpack.cpp.
#pragma once

#include "kernels/kernels.h"
#include "tensor.h"

namespace bitpress {

// Elements are packed and unpacked in blocks of this many, held on the stack. A multiple of 8.
inline constexpr std::size_t block_elements = 256;
// Runs at least this long are handed to a kernel one by one; shorter ones have their scales spread over a block first.
inline constexpr std::uint64_t long_run = 24;

// Where an element stands in a grid that is not empty: which scale it has, and how many more share it without a break.
class RunCursor {
  public:
    RunCursor(const Grid& grid, std::uint64_t element) noexcept : grid_(grid) {
        column_ = element % grid.row;
        const std::uint64_t run = element / grid.row * grid.runs_per_row + column_ / grid.run;
        scale_ = run % grid.scales;  // NOLINT(clang-analyzer-core.DivideZero): of a grid that is not empty
        const std::uint64_t end = (column_ / grid.run + 1) * grid.run;
        left_ = (end < grid.row ? end : grid.row) - column_;
    }
    std::uint64_t scale() const noexcept { return scale_; }
    std::uint64_t left() const noexcept { return left_; }
    // n <= left()
    void advance(std::uint64_t n) noexcept {
        left_ -= n;
        column_ += n;
        if (left_ != 0) return;
        if (column_ == grid_.row) column_ = 0;
        if (++scale_ == grid_.scales) scale_ = 0;
        left_ = grid_.run < grid_.row - column_ ? grid_.run : grid_.row - column_;
    }

    // Where runs are single elements: n of them, n <= scales - scale().
    void advance_singles(std::uint64_t n) noexcept {
        scale_ = scale_ + n == grid_.scales ? 0 : scale_ + n;
        column_ = column_ + n == grid_.row ? 0 : column_ + n;
    }

  private:
    const Grid& grid_;
    std::uint64_t column_ = 0;
    std::uint64_t scale_ = 0;
    std::uint64_t left_ = 0;
};

// The scales and zeros of a tensor as they stand in its streams.
struct Steps {
    const std::uint8_t* scales = nullptr;
    const std::uint8_t* zeros = nullptr;  // null: all have symmetric_zero(bits)
    unsigned bits = 0;
    float scale(std::uint64_t i) const noexcept { return load_le<float>(scales + 4 * i); }
    float zero(std::uint64_t i) const noexcept {
        if (zeros == nullptr) return symmetric_zero(bits);
        return static_cast<float>(is_wide(bits) ? load_le<std::uint16_t>(zeros + 2 * i) : zeros[i]);
    }
};

// The kernels for codes in a byte (1 to 8 bits) and in two (9 to 16), by the type of a code.
inline void pack_block(const Kernels& k, const std::uint8_t* codes, std::size_t n, unsigned bits,
                       std::uint8_t* out) noexcept {
    k.pack_bits(codes, n, bits, out);
}
inline void pack_block(const Kernels& k, const std::uint16_t* codes, std::size_t n, unsigned bits,
                       std::uint8_t* out) noexcept {
    k.pack_wide(codes, n, bits, out);
}
inline void unpack_block(const Kernels& k, Bytes packed, std::uint64_t first, std::size_t n, unsigned bits,
                         std::uint8_t* codes) noexcept {
    k.unpack_bits(packed.data(), packed.size(), static_cast<std::size_t>(first), n, bits, codes);
}
inline void unpack_block(const Kernels& k, Bytes packed, std::uint64_t first, std::size_t n, unsigned bits,
                         std::uint16_t* codes) noexcept {
    k.unpack_wide(packed.data(), packed.size(), static_cast<std::size_t>(first), n, bits, codes);
}

// scale[i] and zero[i] of the next n elements; moves the cursor past them.
inline void spread_steps(const Steps& steps, const Grid& grid, RunCursor& cursor, std::size_t n, float* scale,
                         float* zero) noexcept {
    if (grid.run == 1) {
        for (std::size_t i = 0; i < n;) {
            const std::uint64_t first = cursor.scale();
            const std::uint64_t left = grid.scales - first;
            const std::size_t m = left < n - i ? static_cast<std::size_t>(left) : n - i;
            for (std::size_t j = 0; j < m; ++j) scale[i + j] = steps.scale(first + j);
            for (std::size_t j = 0; j < m; ++j) zero[i + j] = steps.zero(first + j);
            cursor.advance_singles(m);
            i += m;
        }
        return;
    }
    for (std::size_t i = 0; i < n;) {
        const float s = steps.scale(cursor.scale());
        const float z = steps.zero(cursor.scale());
        const std::size_t m = cursor.left() < n - i ? static_cast<std::size_t>(cursor.left()) : n - i;
        cursor.advance(m);
        for (const std::size_t end = i + m; i < end; ++i) {
            scale[i] = s;
            zero[i] = z;
        }
    }
}

// n elements kept as they are, at p, as float.
inline Status widen(const Kernels& k, Dtype dtype, const std::uint8_t* p, std::size_t n, float* out) noexcept {
    switch (dtype) {
        case Dtype::f16: k.f16_to_f32(p, n, out); return Status::ok;
        case Dtype::bf16: k.bf16_to_f32(p, n, out); return Status::ok;
        case Dtype::f32:
            for (std::size_t i = 0; i < n; ++i) out[i] = load_le<float>(p + 4 * i);
            return Status::ok;
        default: return Status::unsupported;
    }
}

}  // namespace bitpress
