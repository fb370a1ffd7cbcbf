// From decoded streams to elements, block by block on the stack.
#include <string.h>

#include "kernels/kernels.h"
#include "tensor/mask.h"
#include "tensor/panels.h"
#include "tensor/runs.h"

namespace bitpress {
namespace {

void dequantize_block(const Kernels& k, const Steps& steps, const Grid& grid, RunCursor& cursor,
                      const std::uint8_t* codes, std::size_t n, float* out) noexcept {
    if (grid.run < long_run) {
        float scale[block_elements];
        float zero[block_elements];
        spread_steps(steps, grid, cursor, n, scale, zero);
        k.dequantize_each(codes, n, scale, zero, out);
        return;
    }
    for (std::size_t i = 0; i < n;) {
        const std::size_t m = cursor.left() < n - i ? static_cast<std::size_t>(cursor.left()) : n - i;
        k.dequantize(codes + i, m, steps.scale(cursor.scale()), steps.zero(cursor.scale()), out + i);
        cursor.advance(m);
        i += m;
    }
}

void dequantize_block(const Kernels& k, const Steps& steps, const Grid& grid, RunCursor& cursor,
                      const std::uint16_t* codes, std::size_t n, float* out) noexcept {
    float scale[block_elements];
    float zero[block_elements];
    spread_steps(steps, grid, cursor, n, scale, zero);
    k.dequantize_wide(codes, n, scale, zero, out);
}

// `stored` has room for block_elements + 8.
void expand_codes(const Kernels& k, const std::uint8_t* stored, const std::uint8_t* mask, std::size_t n,
                  std::uint8_t* codes) noexcept {
    k.expand_bytes(stored, block_elements + 8, mask, n, 0, codes);
}

void expand_codes(const Kernels&, const std::uint16_t* stored, const std::uint8_t* mask, std::size_t n,
                  std::uint16_t* codes) noexcept {
    for (std::size_t i = 0; i < n; ++i) {
        const unsigned held = mask[i / 8] >> i % 8 & 1U;
        codes[i] = static_cast<std::uint16_t>(held != 0 ? *stored : 0U);
        stored += held;
    }
}

// Codes of elements first..first+n-1 (0 where none is stored); mask gets their bits where the tensor is sparse.
template <class Code>
void codes_block(const Kernels& k, const TensorView& view, std::uint64_t first, std::size_t n, std::uint8_t* mask,
                 std::uint64_t* survivors, Code* codes) noexcept {
    const Bytes packed = view.stream(Role::codes);
    if (!is_sparse(view.scheme)) {
        if constexpr (sizeof(Code) == 1) {
            if (view.order != Order::elements) return read_panels(view, first, n, codes);
        }
        unpack_block(k, packed, first, n, view.scheme.bits, codes);
        return;
    }
    mask_block(view, first, n, mask);
    const std::size_t kept = static_cast<std::size_t>(k.count_bits(mask, (n + 7) / 8));
    Code stored[block_elements + 8] = {};  // readable past the end, so that expanding stays on its fast path
    unpack_block(k, packed, *survivors, kept, view.scheme.bits, stored);
    expand_codes(k, stored, mask, n, codes);
    *survivors += kept;
}

Status keep_block(const Kernels& k, const TensorView& view, std::uint64_t first, std::uint64_t* survivors,
                  std::span<float> out) noexcept {
    const std::uint8_t* data = view.stream(Role::data).data();
    const std::size_t element = dtype_bits(view.dtype) / 8;
    if (view.scheme.structure == Structure::dense) {
        return widen(k, view.dtype, data + static_cast<std::size_t>(first) * element, out.size(), out.data());
    }
    std::uint8_t mask[block_elements / 8];
    mask_block(view, first, out.size(), mask);
    const std::size_t kept = static_cast<std::size_t>(k.count_bits(mask, (out.size() + 7) / 8));
    float stored[block_elements] = {};
    BP_TRY(widen(k, view.dtype, data + static_cast<std::size_t>(*survivors) * element, kept, stored));
    *survivors += kept;
    const float* next = stored;
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = (mask[i / 8] >> i % 8 & 1) != 0 ? *next++ : 0.0F;
    return Status::ok;
}

// The range lies inside the tensor.
Status check_range(const Grid& grid, std::uint64_t first, std::size_t n) noexcept {
    return first <= grid.count && n <= grid.count - first ? Status::ok : Status::bad_argument;
}

std::size_t next_block(std::size_t left) noexcept { return left < block_elements ? left : block_elements; }

template <class Code>
void unpack_integers(const Kernels& k, const TensorView& view, const Grid& grid, std::uint64_t first,
                     std::span<float> out, std::uint64_t* survivors) noexcept {
    const bool sparse = is_sparse(view.scheme);
    const Steps steps = {view.stream(Role::scales).data(),
                         view.scheme.affine ? view.stream(Role::zeros).data() : nullptr, view.scheme.bits};
    RunCursor cursor(grid, first);
    Code codes[block_elements];
    std::uint8_t mask[block_elements / 8];
    for (std::size_t done = 0; done < out.size();) {
        const std::size_t n = next_block(out.size() - done);
        codes_block(k, view, first + done, n, mask, survivors, codes);
        dequantize_block(k, steps, grid, cursor, codes, n, out.data() + done);
        if (sparse) k.clear_unmasked(mask, n, out.data() + done);
        done += n;
    }
}

// Elements first..first+n-1 of a codebook of vectors, before scales; n <= block_elements.
void vectors_block(const Kernels& k, const TensorView& view, std::uint64_t first, std::size_t n, float* out) noexcept {
    const unsigned vector = view.scheme.vector;
    const std::size_t skip = static_cast<std::size_t>(first % vector);
    const std::size_t count = (skip + n + vector - 1) / vector;
    std::uint8_t codes[block_elements];
    float values[block_elements + 16];
    unpack_block(k, view.stream(Role::codes), first / vector, count, view.scheme.bits, codes);
    k.look_up(codes, count, view.scheme.bits, vector, view.stream(Role::codebook).data(), values);
    memcpy(out, values + skip, n * sizeof(float));
}

// x[i] *= its scale.
void scale_block(const Steps& steps, const Grid& grid, RunCursor& cursor, std::size_t n, float* x) noexcept {
    if (grid.run < long_run) {
        float scale[block_elements];
        float zero[block_elements];
        spread_steps(steps, grid, cursor, n, scale, zero);
        for (std::size_t i = 0; i < n; ++i) x[i] *= scale[i];
        return;
    }
    for (std::size_t i = 0; i < n;) {
        const std::size_t m = cursor.left() < n - i ? static_cast<std::size_t>(cursor.left()) : n - i;
        const float scale = steps.scale(cursor.scale());
        cursor.advance(m);
        for (const std::size_t end = i + m; i < end; ++i) x[i] *= scale;
    }
}

void unpack_codebook(const Kernels& k, const TensorView& view, const Grid& grid, std::uint64_t first,
                     std::span<float> out, std::uint64_t* survivors) noexcept {
    const bool sparse = is_sparse(view.scheme);
    const bool scaled = view.scheme.granularity != Granularity::tensor;
    const Steps steps = {view.stream(Role::scales).data(), nullptr, view.scheme.bits};
    RunCursor cursor(grid, first);
    std::uint8_t codes[block_elements];
    std::uint8_t mask[block_elements / 8];
    for (std::size_t done = 0; done < out.size();) {
        const std::size_t n = next_block(out.size() - done);
        float* const to = out.data() + done;
        if (view.scheme.vector > 1) {
            vectors_block(k, view, first + done, n, to);
        } else {
            codes_block(k, view, first + done, n, mask, survivors, codes);
            k.look_up(codes, n, view.scheme.bits, 1, view.stream(Role::codebook).data(), to);
        }
        if (scaled) scale_block(steps, grid, cursor, n, to);
        if (sparse) k.clear_unmasked(mask, n, to);
        done += n;
    }
}

template <class Code>
Status unpack_all_codes(const TensorView& view, std::uint64_t first, std::span<Code> out,
                        std::uint64_t* survivors) noexcept {
    const Kernels* k = kernels();
    if (k == nullptr) return Status::unsupported;
    Grid grid;
    BP_TRY(make_grid(view.shape, view.scheme, &grid));
    if (view.scheme.values == Values::keep || is_wide(view.scheme.bits) != (sizeof(Code) == 2)) {
        return Status::bad_argument;
    }
    grid.count /= elements_a_code(view.scheme);
    BP_TRY(check_range(grid, first, out.size()));
    std::uint8_t mask[block_elements / 8];
    for (std::size_t done = 0; done < out.size();) {
        const std::size_t n = next_block(out.size() - done);
        codes_block(*k, view, first + done, n, mask, survivors, out.data() + done);
        done += n;
    }
    return Status::ok;
}

}  // namespace

Status unpack_range(const TensorView& view, std::uint64_t first, std::span<float> out,
                    std::uint64_t* survivors_before) noexcept {
    const Kernels* k = kernels();
    if (k == nullptr) return Status::unsupported;
    Grid grid;
    BP_TRY(make_grid(view.shape, view.scheme, &grid));
    BP_TRY(check_range(grid, first, out.size()));
    if (out.empty()) return Status::ok;
    if (view.scheme.values == Values::keep) {
        for (std::size_t done = 0; done < out.size();) {
            const std::size_t n = next_block(out.size() - done);
            BP_TRY(keep_block(*k, view, first + done, survivors_before, out.subspan(done, n)));
            done += n;
        }
        return Status::ok;
    }
    const auto unpack = view.scheme.values == Values::codebook ? unpack_codebook
                        : is_wide(view.scheme.bits)            ? unpack_integers<std::uint16_t>
                                                               : unpack_integers<std::uint8_t>;
    unpack(*k, view, grid, first, out, survivors_before);
    return Status::ok;
}

Status unpack_codes(const TensorView& view, std::uint64_t first, MutableBytes out,
                    std::uint64_t* survivors_before) noexcept {
    return unpack_all_codes(view, first, out, survivors_before);
}

Status unpack_codes(const TensorView& view, std::uint64_t first, std::span<std::uint16_t> out,
                    std::uint64_t* survivors_before) noexcept {
    return unpack_all_codes(view, first, out, survivors_before);
}

Status unpack_keep(const TensorView& view, MutableBytes out) noexcept {
    const Bytes data = view.stream(Role::data);
    std::uint64_t count = 0;
    BP_TRY(element_count(view.shape, &count));
    const unsigned bits = dtype_bits(view.dtype);
    if (view.scheme.values != Values::keep || out.size() != packed_bytes(count, bits)) return Status::bad_argument;
    if (out.empty()) return Status::ok;
    if (view.scheme.structure == Structure::dense) {
        memcpy(out.data(), data.data(), out.size());
        return Status::ok;
    }
    const std::size_t element = bits / 8;
    const std::uint8_t* next = data.data();
    std::uint8_t mask[block_elements / 8];
    memset(out.data(), 0, out.size());
    for (std::uint64_t first = 0; first < count;) {
        const std::size_t n = next_block(static_cast<std::size_t>(count - first));
        mask_block(view, first, n, mask);
        for (std::size_t i = 0; i < n; i += 8) {
            for (unsigned left = mask[i / 8]; left != 0; left &= left - 1) {
                const std::size_t at = static_cast<std::size_t>(first) + i + static_cast<unsigned>(__builtin_ctz(left));
                memcpy(out.data() + at * element, next, element);
                next += element;
            }
        }
        first += n;
    }
    return Status::ok;
}

}  // namespace bitpress
