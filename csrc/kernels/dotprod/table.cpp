// NEON with dot products (SDOT; most 64-bit Arm CPUs since 2018): the slots this folder overrides.
#include "kernels/dotprod/overrides.h"

namespace bitpress::dotprod {

void fill(Kernels& table) noexcept {
    table.gemm_u8s8 = gemm_u8s8;
    table.dots_u8s8 = dots_u8s8;
}

}  // namespace bitpress::dotprod
