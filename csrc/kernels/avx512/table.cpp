// AVX-512 F, BW, DQ, VL, VBMI and VBMI2 (Ice Lake, Zen 4 and later): the slots this folder overrides.
#include "kernels/avx512/overrides.h"

namespace bitpress::avx512 {

void fill(Kernels& table) noexcept { table.rans_decode = rans_decode; }

}  // namespace bitpress::avx512
