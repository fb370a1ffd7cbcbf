// If and Loop: the session runs their bodies.
#include "ops/op.h"

namespace bitpress {

const Operator op_If = {.outputs = max_node_links, .flags = op_control | op_typed | op_empty};

const Operator op_Loop = {
    .min_inputs = 2,
    .max_inputs = max_node_links,
    .outputs = max_node_links,
    .keys = key_bit(Key::bound),
    .flags = op_control | op_typed | op_empty,
};

}  // namespace bitpress
