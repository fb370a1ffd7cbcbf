// The AVX-512 VNNI versions of the slots that this folder overrides; contracts are kernels.def's.
#pragma once

#include "kernels/kernels.h"

namespace bitpress::avx512vnni {

#define BP_KERNEL(name, result, parameters) result name parameters noexcept;
#include "kernels/kernels.def"
#undef BP_KERNEL

}  // namespace bitpress::avx512vnni
