// The table of operators, made from ops.def.
#include "ops/op.h"

namespace bitpress {

const Operator* find_operator(OpId id) noexcept {
    switch (id) {
#define BP_OP(name, number) \
    case OpId::name: return &op_##name;
#include "ops/ops.def"
#undef BP_OP
        case OpId::none: break;
    }
    return nullptr;
}

const char* operator_name(OpId id) noexcept {
    switch (id) {
#define BP_OP(name, number) \
    case OpId::name: return #name;
#include "ops/ops.def"
#undef BP_OP
        case OpId::none: break;
    }
    return "none";
}

}  // namespace bitpress
