// The table of operators, made from ops.def.
#include "ops/op.h"

#ifndef BITPRESS_CHOSEN_OPERATORS
#define BITPRESS_CHOSEN_OPERATORS "ops/ops.def"
#endif

namespace bitpress {

const Operator* find_operator(OpId id) noexcept {
    switch (id) {
#define BP_OP(name, number) \
    case OpId::name: return &op_##name;
#include BITPRESS_CHOSEN_OPERATORS
#undef BP_OP
        default: return nullptr;
    }
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
