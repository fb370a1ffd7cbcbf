// Any coding, over bytes that stand in rows.
#pragma once

#include "codings/huffman.h"
#include "codings/rans.h"

namespace bitpress {

// As the coding's encode_by; row: bytes of a row of the input, 0 where there are none. Only Huffman and rANS make
// something of rows.
inline Status encode_rows(const Coding& with, const Workers& workers, std::size_t row, Bytes in, MutableBytes out,
                          MutableBytes workspace, std::size_t* written) noexcept {
    if (with.id == CodingId::huffman) return huffman_encode(workers, row, in, out, workspace, written);
    if (with.id == CodingId::rans) return rans_encode(workers, row, in, out, workspace, written);
    return with.encode_by(workers, in, out, workspace, written);
}

}  // namespace bitpress
