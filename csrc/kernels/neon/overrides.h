// The NEON versions of the slots that this folder overrides; contracts are kernels.def's.
#pragma once

#include "kernels/kernels.h"

namespace bitpress::neon {

#define BP_KERNEL(name, result, parameters) result name parameters noexcept;
#include "kernels/kernels.def"
#undef BP_KERNEL

}  // namespace bitpress::neon
