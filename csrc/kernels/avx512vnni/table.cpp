// AVX-512 with VNNI (Ice Lake, Zen 4 and later): the slots this folder overrides.
#include "kernels/avx512vnni/overrides.h"

namespace bitpress::avx512vnni {

void fill(Kernels& table) noexcept { table.gemm_s16 = gemm_s16; }

}  // namespace bitpress::avx512vnni
