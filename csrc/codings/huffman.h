// Huffman's code over bytes that stand in rows: beside what every coding has, an encoder that may give unlike rows
// unlike tables.
#pragma once

#include "codings/codings.h"

namespace bitpress {

// As huffman_coding's encode_by; row: bytes of a row of the input, 0 where there are none. Any decoder of Huffman's
// frames reads it.
Status huffman_encode(const Workers& workers, std::size_t row, Bytes in, MutableBytes out, MutableBytes workspace,
                      std::size_t* written) noexcept;

}  // namespace bitpress
