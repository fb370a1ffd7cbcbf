// From elements to streams: the range of each run, its scale and zero, then the codes, block by block.
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "tensor/mask.h"
#include "tensor/runs.h"

namespace bitpress {
namespace {

// Least and greatest value of each scale's elements, widened to hold 0: low[s] <= 0 <= high[s].
Status find_ranges(const Kernels& k, std::span<const float> values, const Grid& grid, float* low,
                   float* high) noexcept {
    const std::size_t scales = static_cast<std::size_t>(grid.scales);
    for (std::size_t s = 0; s < scales; ++s) low[s] = high[s] = 0.0F;
    if (grid.run == 1) {  // neighbours have neighbouring scales; scales divides count
        for (std::size_t i = 0; i < values.size(); i += scales) {
            if (!k.min_max_each(values.data() + i, scales, low, high)) return Status::not_finite;
        }
        return Status::ok;
    }
    RunCursor cursor(grid, 0);
    for (std::size_t i = 0; i < values.size();) {
        const std::size_t n = static_cast<std::size_t>(cursor.left());
        const std::size_t s = static_cast<std::size_t>(cursor.scale());
        float least = 0.0F;
        float greatest = 0.0F;
        bool finite = true;
        k.min_max(values.data() + i, n, &least, &greatest, &finite);
        if (!finite) return Status::not_finite;
        low[s] = least < low[s] ? least : low[s];
        high[s] = greatest > high[s] ? greatest : high[s];
        cursor.advance(n);
        i += n;
    }
    return Status::ok;
}

// docs/format.md, "How a scale is picked": float32 operations in this order, the scale at least FLT_MIN.
Status make_step(float low, float high, const Scheme& scheme, std::uint8_t* scale_out,
                 std::uint8_t* zero_out) noexcept {
    const unsigned levels = scheme.affine      ? (1U << scheme.bits) - 1U
                            : scheme.bits == 1 ? 1U
                                               : (1U << (scheme.bits - 1U)) - 1U;
    const float range = scheme.affine ? high - low : -low > high ? -low : high;
    float scale = range / static_cast<float>(levels);
    scale = scale < FLT_MIN ? FLT_MIN : scale;
    if (!isfinite(scale * static_cast<float>(1U << scheme.bits))) return Status::too_large;
    store_le(scale_out, scale);
    if (scheme.affine) {
        const float most = static_cast<float>(levels);
        const float zero = rintf(-low / scale);
        const auto whole = static_cast<std::uint16_t>(zero < most ? zero : most);
        if (is_wide(scheme.bits)) {
            store_le(zero_out, whole);
        } else {
            *zero_out = static_cast<std::uint8_t>(whole);
        }
    }
    return Status::ok;
}

void quantize_block(const Kernels& k, const Steps& steps, const Scheme& scheme, const Grid& grid, RunCursor& cursor,
                    const float* x, std::size_t n, std::uint8_t* codes) noexcept {
    const unsigned low =
        scheme.affine || scheme.bits == 1 ? 0U : 1U;  // symmetric codes are as many below zero as above
    const unsigned high = (1U << scheme.bits) - 1U;
    if (grid.run < long_run) {
        float scale[block_elements];
        float zero[block_elements];
        spread_steps(steps, grid, cursor, n, scale, zero);
        k.quantize_each(x, n, scale, zero, low, high, codes);
        return;
    }
    for (std::size_t i = 0; i < n;) {
        const std::size_t m = cursor.left() < n - i ? static_cast<std::size_t>(cursor.left()) : n - i;
        k.quantize(x + i, m, steps.scale(cursor.scale()), steps.zero(cursor.scale()), low, high, codes + i);
        cursor.advance(m);
        i += m;
    }
}

void quantize_block(const Kernels& k, const Steps& steps, const Scheme& scheme, const Grid& grid, RunCursor& cursor,
                    const float* x, std::size_t n, std::uint16_t* codes) noexcept {
    float scale[block_elements];
    float zero[block_elements];
    spread_steps(steps, grid, cursor, n, scale, zero);
    k.quantize_wide(x, n, scale, zero, scheme.affine ? 0U : 1U, (1U << scheme.bits) - 1U, codes);
}

std::size_t compress_codes(const Kernels& k, const std::uint8_t* codes, std::size_t n, const std::uint8_t* mask,
                           std::uint8_t* out) noexcept {
    return k.compress_bytes(codes, n, mask, out);
}

std::size_t compress_codes(const Kernels&, const std::uint16_t* codes, std::size_t n, const std::uint8_t* mask,
                           std::uint16_t* out) noexcept {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < n; ++i) {
        out[kept] = codes[i];
        kept += mask[i / 8] >> i % 8 & 1U;
    }
    return kept;
}

// Packs codes as they come, in any number, so that all but the last write end on a byte.
template <class Code>
class BitWriter {
  public:
    BitWriter(const Kernels& k, unsigned bits, std::uint8_t* out) noexcept : k_(k), bits_(bits), out_(out) {}
    // Room for a block of codes that add() is then told of.
    Code* room() noexcept { return held_ + count_; }
    void add(std::size_t n) noexcept {
        count_ += n;
        const std::size_t whole = count_ / 8 * 8;
        pack_block(k_, held_, whole, bits_, out_);
        out_ += whole / 8 * bits_;
        memmove(held_, held_ + whole, (count_ - whole) * sizeof(Code));
        count_ -= whole;
    }
    void finish() noexcept { pack_block(k_, held_, count_, bits_, out_); }

  private:
    const Kernels& k_;
    unsigned bits_;
    std::uint8_t* out_;
    Code held_[block_elements + 8] = {};
    std::size_t count_ = 0;
};

// Elements of a known width are looked at as one number: on their way, no byte order matters.
template <class Number>
struct Elements {
    static bool stored(const std::uint8_t* p) noexcept {
        Number number;
        memcpy(&number, p, sizeof number);
        return number != 0;
    }
    static std::uint64_t count(Bytes data) noexcept {
        std::uint64_t count = 0;
        for (std::size_t i = 0; i < data.size(); i += sizeof(Number)) count += stored(data.data() + i);
        return count;
    }
    static void compress(Bytes data, std::uint8_t* survivors, std::uint8_t* mask) noexcept {
        const std::size_t count = data.size() / sizeof(Number);
        for (std::size_t i = 0; i < count; i += 8) {
            const std::uint8_t* group = data.data() + i * sizeof(Number);
            unsigned byte = 0;
            for (unsigned j = 0; j < 8 && i + j < count; ++j) byte |= unsigned{stored(group + j * sizeof(Number))} << j;
            for (unsigned left = byte; left != 0; left &= left - 1) {
                const unsigned j = static_cast<unsigned>(__builtin_ctz(left));
                memcpy(survivors, group + j * sizeof(Number), sizeof(Number));
                survivors += sizeof(Number);
            }
            mask[i / 8] = static_cast<std::uint8_t>(byte);
        }
    }
};

Status check_sizes(std::span<const float> values, const Shape& shape, const Scheme& scheme, const Grid& grid,
                   std::span<float> ranges, const MutableBytes (&streams)[role_count]) noexcept {
    if (scheme.values != Values::integer || values.size() != grid.count) return Status::bad_argument;
    if (ranges.size() / 2 < grid.scales) return Status::memory_too_small;
    const std::uint64_t stored = count_survivors(values, shape, scheme);
    std::uint64_t bytes[role_count];
    BP_TRY(stream_sizes(Dtype::f32, shape, scheme, stored, bytes));
    for (int role = 0; role < role_count; ++role) {
        if (streams[role].size() != bytes[role]) return Status::output_too_small;
    }
    return Status::ok;
}

// Codes of all elements, whose steps are there; of a bitmap the mask too, of other sparse schemes it is there.
template <class Code>
void pack_all(const Kernels& k, std::span<const float> values, const Steps& steps, const TensorView& view,
              const Grid& grid, const MutableBytes (&streams)[role_count]) noexcept {
    const Scheme& scheme = view.scheme;
    BitWriter<Code> writer(k, scheme.bits, streams[static_cast<int>(Role::codes)].data());
    RunCursor cursor(grid, 0);
    Code codes[block_elements];
    std::uint8_t mask[block_elements / 8];
    for (std::size_t i = 0; i < values.size();) {
        const std::size_t n = values.size() - i < block_elements ? values.size() - i : block_elements;
        const float* x = values.data() + i;
        quantize_block(k, steps, scheme, grid, cursor, x, n, is_sparse(scheme) ? codes : writer.room());
        if (scheme.structure == Structure::bitmap) {
            k.mask_nonzero(x, n, mask);
            memcpy(streams[static_cast<int>(Role::mask)].data() + i / 8, mask, (n + 7) / 8);
        } else if (is_sparse(scheme)) {
            mask_block(view, i, n, mask);
        }
        writer.add(is_sparse(scheme) ? compress_codes(k, codes, n, mask, writer.room()) : n);
        i += n;
    }
    writer.finish();
}

}  // namespace

std::uint64_t count_survivors(std::span<const float> values, const Shape& shape, const Scheme& scheme) noexcept {
    if (scheme.structure != Structure::bitmap) return count_stored({values.data()}, shape, scheme, values.size());
    const Kernels* k = kernels();
    std::uint64_t count = 0;
    std::uint8_t mask[block_elements / 8];
    for (std::size_t i = 0; k != nullptr && i < values.size(); i += block_elements) {
        const std::size_t n = values.size() - i < block_elements ? values.size() - i : block_elements;
        k->mask_nonzero(values.data() + i, n, mask);
        count += k->count_bits(mask, (n + 7) / 8);
    }
    return count;
}

std::uint64_t count_survivors(Bytes data, unsigned element_bytes) noexcept {
    switch (element_bytes) {
        case 1: return Elements<std::uint8_t>::count(data);
        case 2: return Elements<std::uint16_t>::count(data);
        case 4: return Elements<std::uint32_t>::count(data);
        case 8: return Elements<std::uint64_t>::count(data);
        default: return 0;
    }
}

Status pack(std::span<const float> values, const Shape& shape, const Scheme& scheme, std::span<float> ranges,
            const MutableBytes (&streams)[role_count]) noexcept {
    const Kernels* k = kernels();
    if (k == nullptr) return Status::unsupported;
    Grid grid;
    BP_TRY(make_grid(shape, scheme, &grid));
    BP_TRY(check_sizes(values, shape, scheme, grid, ranges, streams));
    if (values.empty()) return Status::ok;

    float* low = ranges.data();
    float* high = low + grid.scales;
    BP_TRY(find_ranges(*k, values, grid, low, high));
    std::uint8_t* scales = streams[static_cast<int>(Role::scales)].data();
    std::uint8_t* zeros = streams[static_cast<int>(Role::zeros)].data();
    for (std::size_t s = 0; s < grid.scales; ++s) {
        std::uint8_t* const zero = scheme.affine ? zeros + s * (is_wide(scheme.bits) ? 2 : 1) : nullptr;
        BP_TRY(make_step(low[s], high[s], scheme, scales + 4 * s, zero));
    }

    const Steps steps = {scales, scheme.affine ? zeros : nullptr, scheme.bits};
    TensorView view{Dtype::f32, shape, scheme, {}};
    view.streams[static_cast<int>(Role::mask)] = streams[static_cast<int>(Role::mask)];
    if (scheme.structure == Structure::nm || scheme.structure == Structure::block) {
        const MutableBytes mask = streams[static_cast<int>(Role::mask)];
        BP_TRY(write_mask({values.data()}, shape, scheme, grid.count, mask));
    }
    (is_wide(scheme.bits) ? pack_all<std::uint16_t> : pack_all<std::uint8_t>)(*k, values, steps, view, grid, streams);
    return Status::ok;
}

Status pack_keep(Bytes data, unsigned element_bytes, MutableBytes survivors, MutableBytes mask) noexcept {
    if (element_bytes == 0 || element_bytes > 8 || (element_bytes & (element_bytes - 1)) != 0 ||
        data.size() % element_bytes != 0) {
        return Status::bad_argument;
    }
    if (mask.size() != packed_bytes(data.size() / element_bytes, 1)) return Status::output_too_small;
    if (survivors.size() != count_survivors(data, element_bytes) * element_bytes) return Status::output_too_small;
    switch (element_bytes) {
        case 1: Elements<std::uint8_t>::compress(data, survivors.data(), mask.data()); break;
        case 2: Elements<std::uint16_t>::compress(data, survivors.data(), mask.data()); break;
        case 4: Elements<std::uint32_t>::compress(data, survivors.data(), mask.data()); break;
        default: Elements<std::uint64_t>::compress(data, survivors.data(), mask.data()); break;
    }
    return Status::ok;
}

}  // namespace bitpress
