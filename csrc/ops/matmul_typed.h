// MatMul, whose kernels are for F32 alone, in other types.
#pragma once

#include "ops/op.h"

namespace bitpress {

extern constinit const Operator typed_matmul;

}  // namespace bitpress
