// The coding `planes`: elements cut into byte planes, each plane of each chunk coded apart (docs/format.md, section 5).
#pragma once

#include "bytes.h"
#include "kernels/kernels.h"
#include "status.h"
#include "workers.h"

namespace bitpress {

// What encode of the coding does, for elements of a kind that bytes alone do not tell: in is whole elements, out has
// planes_bound bytes, workspace planes_coding.encode_workspace bytes a worker.
Status planes_encode(const Workers& workers, PlaneKind kind, Bytes in, MutableBytes out, MutableBytes workspace,
                     std::size_t* written) noexcept;
std::size_t planes_bound(PlaneKind kind, std::size_t n) noexcept;

}  // namespace bitpress
