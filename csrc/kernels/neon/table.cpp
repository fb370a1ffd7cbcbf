// NEON (64-bit Arm): the slots this folder overrides. None yet.
#include "kernels/kernels.h"

namespace bitpress::neon {

void fill(Kernels&) noexcept {}

}  // namespace bitpress::neon
