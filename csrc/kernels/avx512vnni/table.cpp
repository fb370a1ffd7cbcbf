// AVX-512 with VNNI (Ice Lake, Zen 4 and later): the slots this folder overrides.
#include "kernels/avx512vnni/overrides.h"

namespace bitpress::avx512vnni {

void fill(Kernels& table) noexcept {
    table.gemm_s16 = gemm_s16;
    table.quantize_columns_s8 = quantize_columns_s8;
    table.gemm_codes_s8 = gemm_codes_s8;
    table.quantize_row_s8 = quantize_row_s8;
    table.panel_columns_u8 = panel_columns_u8;
    table.panel_rows_u8 = panel_rows_u8;
    table.panel_packed_u8 = panel_packed_u8;
    table.spread_panel_u8 = spread_panel_u8;
    table.gemm_u8s8 = gemm_u8s8;
    table.dots_u8s8 = dots_u8s8;
    table.panel_dots_u8s8 = panel_dots_u8s8;
}

}  // namespace bitpress::avx512vnni
