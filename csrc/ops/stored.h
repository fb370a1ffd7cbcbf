// Stored tensors as operators see them: floats and whatever stands for floats as F32, everything else as it is.
#pragma once

#include "ops/op.h"

namespace bitpress {

// The element type that a stored tensor has for operators; unsupported where they can do nothing with it.
Status stored_dtype(const TensorView& view, Dtype* out) noexcept;
// Its elements where they can be used in place (dense, kept, aligned, this CPU's byte order); null where they must be
// unpacked.
const void* stored_in_place(const TensorView& view) noexcept;
// All `count` elements, of stored_dtype, aligned to their size.
Status unpack_stored(const TensorView& view, std::uint64_t count, void* out) noexcept;
// Whether the operator reads input k, which is this tensor, itself.
inline bool reads_itself(const Operator& op, std::size_t k, const TensorView& view) noexcept {
    Dtype dtype = Dtype::f32;
    return k < 32 && (op.reads_stored >> k & 1U) != 0 && stored_dtype(view, &dtype) == Status::ok &&
           dtype == Dtype::f32;
}

}  // namespace bitpress
