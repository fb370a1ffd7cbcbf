// The versions with dot products of the slots that this folder overrides; contracts are kernels.def's.
#pragma once

#include "kernels/kernels.h"

namespace bitpress::dotprod {

#define BP_KERNEL(name, result, parameters) result name parameters noexcept;
#include "kernels/kernels.def"
#undef BP_KERNEL

}  // namespace bitpress::dotprod
