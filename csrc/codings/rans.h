// rANS of bytes that stand in rows: beside what every coding has, an encoder that may give unlike rows unlike tables.
#pragma once

#include "codings/codings.h"

namespace bitpress {

// Bytes of workspace that a worker needs for n bytes, in rows or not: less than rans_coding.encode_workspace where they
// are fewer than a chunk.
std::size_t rans_encode_workspace(std::size_t n, bool rows) noexcept;

// As rans_coding's encode_by; row: bytes of a row of the input, 0 where there are none. Any decoder of rANS reads it.
Status rans_encode(const Workers& workers, std::size_t row, Bytes in, MutableBytes out, MutableBytes workspace,
                   std::size_t* written) noexcept;

}  // namespace bitpress
