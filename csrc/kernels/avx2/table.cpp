// AVX2 + FMA + F16C + BMI2: the slots this folder overrides.
#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {

void fill(Kernels& table) noexcept {
#ifndef BITPRESS_MINIMAL  // BP_WRITER in kernels.def
    table.quantize = quantize;
    table.quantize_each = quantize_each;
    table.quantize_wide = quantize_wide;
    table.pack_lanes = pack_lanes;
    table.unpack_lanes = unpack_lanes;
    table.unpack_lanes_s8 = unpack_lanes_s8;
    table.unpack_lanes_f32 = unpack_lanes_f32;
    table.min_max = min_max;
    table.min_max_each = min_max_each;
    table.mask_nonzero = mask_nonzero;
    table.compress_bytes = compress_bytes;
    table.mask_other = mask_other;
    table.write_gaps = write_gaps;
    table.clear_unmasked = clear_unmasked;
    table.histogram = histogram;
    table.select_bytes = select_bytes;
    table.split_planes = split_planes;
    table.rans_encode = rans_encode;
    table.huffman_encode = huffman_encode;
#endif
    // packed codes, bitmaps, codings
    table.pack_bits = pack_bits;
    table.unpack_bits = unpack_bits;
    table.pack_wide = pack_wide;
    table.unpack_wide = unpack_wide;
    table.dequantize_wide = dequantize_wide;
    table.join_wide = join_wide;
    table.join_planes = join_planes;
    table.rans_decode = rans_decode;
    table.huffman_decode = huffman_decode;
    table.dequantize = dequantize;
    table.dequantize_each = dequantize_each;
    table.look_up = look_up;
    table.count_bits = count_bits;
    table.expand_bytes = expand_bytes;
    table.f16_to_f32 = f16_to_f32;
    table.bf16_to_f32 = bf16_to_f32;
    // networks
    table.quantize_columns_s16 = quantize_columns_s16;
    table.widen_codes_s16 = widen_codes_s16;
    table.quantize_row_s16 = quantize_row_s16;
    table.panel_rows_s16 = panel_rows_s16;
    table.panel_columns_s16 = panel_columns_s16;
    table.gemm_s16 = gemm_s16;
    table.quantize_row_s8 = quantize_row_s8;
    table.panel_columns_u8 = panel_columns_u8;
    table.panel_rows_u8 = panel_rows_u8;
    table.panel_packed_u8 = panel_packed_u8;
    table.spread_panel_u8 = spread_panel_u8;
    table.gemm_u8s8 = gemm_u8s8;
    table.dots_u8s8 = dots_u8s8;
    table.gemm_f32 = gemm_f32;
    table.spmm_f32 = spmm_f32;
    table.pack_panel_f32 = pack_panel_f32;
    table.mask_positions = mask_positions;
    table.gemv_f32 = gemv_f32;
    table.depthwise_f32 = depthwise_f32;
    table.sort_rows_f32 = sort_rows_f32;
    table.gather_panel_f32 = gather_panel_f32;
    table.binary_f32 = binary_f32;
    table.affine_f32 = affine_f32;
    table.sigmoid_f32 = sigmoid_f32;
    table.gelu_f32 = gelu_f32;
    table.softmax_f32 = softmax_f32;
    table.layer_norm_f32 = layer_norm_f32;
}

}  // namespace bitpress::avx2
