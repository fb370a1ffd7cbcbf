// The AVX2 versions of the slots that this folder overrides; contracts are kernels.def's.
#pragma once

#include "kernels/kernels.h"

namespace bitpress::avx2 {

#define BP_KERNEL(name, result, parameters) result name parameters noexcept;
#include "kernels/kernels.def"
#undef BP_KERNEL

}  // namespace bitpress::avx2
