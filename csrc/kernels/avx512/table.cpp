// AVX-512 F, BW, DQ, VL, VBMI and VBMI2 (Ice Lake, Zen 4 and later): the slots this folder overrides.
#include "kernels/avx512/overrides.h"

namespace bitpress::avx512 {

void fill(Kernels& table) noexcept {
#ifndef BITPRESS_MINIMAL  // BP_WRITER in kernels.def
    table.compress_bytes = compress_bytes;
    table.mask_other = mask_other;
    table.write_gaps = write_gaps;
    table.rans_encode = rans_encode;
    table.huffman_encode = huffman_encode;
    table.unpack_lanes = unpack_lanes;
    table.unpack_lanes_s8 = unpack_lanes_s8;
#endif
    table.expand_bytes = expand_bytes;
    table.mask_positions = mask_positions;
    table.rans_decode = rans_decode;
    table.gemm_f32 = gemm_f32;
    table.gather_panel_f32 = gather_panel_f32;
    table.depthwise_f32 = depthwise_f32;
    table.sigmoid_f32 = sigmoid_f32;
    table.gelu_f32 = gelu_f32;
    table.softmax_f32 = softmax_f32;
}

}  // namespace bitpress::avx512
