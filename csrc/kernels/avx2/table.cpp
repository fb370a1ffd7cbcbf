// AVX2 + FMA + F16C + BMI2: the slots this folder overrides.
#include "kernels/kernels.h"

namespace bitpress::avx2 {

void fill(Kernels&) noexcept {}

}  // namespace bitpress::avx2
