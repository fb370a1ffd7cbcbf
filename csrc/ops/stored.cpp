#include "ops/stored.h"

#include "ops/numbers.h"
#include "ops/weights.h"

namespace bitpress {

Status stored_dtype(const TensorView& view, Dtype* out) noexcept {
    const bool halves = view.dtype == Dtype::f16 || view.dtype == Dtype::bf16;
    *out = view.scheme.values != Values::keep || halves ? Dtype::f32 : view.dtype;
    return among(*out, any_type) ? Status::ok : Status::unsupported;
}

const void* stored_in_place(const TensorView& view) noexcept {
    Dtype dtype = Dtype::f32;
    if (stored_dtype(view, &dtype) != Status::ok || dtype == Dtype::f32) return stored_floats(view);
    const unsigned bytes = element_bytes(dtype);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    if (bytes > 1) return nullptr;
#endif
    const std::uint8_t* data = view.stream(Role::data).data();
    const bool dense = view.scheme.structure == Structure::dense;
    return dense && reinterpret_cast<std::uintptr_t>(data) % bytes == 0 ? data : nullptr;
}

Status unpack_stored(const TensorView& view, std::uint64_t count, void* out) noexcept {
    Dtype dtype = Dtype::f32;
    BP_TRY(stored_dtype(view, &dtype));
    if (dtype == Dtype::f32) {
        std::uint64_t survivors = 0;
        return unpack_range(view, 0, {static_cast<float*>(out), static_cast<std::size_t>(count)}, &survivors);
    }
    const unsigned bytes = element_bytes(dtype);
    auto* to = static_cast<std::uint8_t*>(out);
    BP_TRY(unpack_keep(view, {to, static_cast<std::size_t>(count * bytes)}));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (std::uint64_t i = 0; i < count; ++i) {
        for (unsigned k = 0; k < bytes / 2; ++k) {
            const std::uint8_t low = to[i * bytes + k];
            to[i * bytes + k] = to[i * bytes + bytes - 1 - k];
            to[i * bytes + bytes - 1 - k] = low;
        }
    }
#endif
    return Status::ok;
}

}  // namespace bitpress
