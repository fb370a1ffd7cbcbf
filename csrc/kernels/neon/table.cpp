// NEON (64-bit Arm): the slots this folder overrides. Not Huffman's loops, nor XXH64, whose products of 64 bits NEON
// lacks: scalar code is as good.
#include "kernels/neon/overrides.h"

namespace bitpress::neon {

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
    table.clear_unmasked = clear_unmasked;
    table.histogram = histogram;
    table.split_planes = split_planes;
    table.rans_encode = rans_encode;
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
    table.dequantize = dequantize;
    table.dequantize_each = dequantize_each;
    table.count_bits = count_bits;
    table.expand_bytes = expand_bytes;
    table.f16_to_f32 = f16_to_f32;
    table.bf16_to_f32 = bf16_to_f32;
}

}  // namespace bitpress::neon
