// TopK: the k largest or smallest elements along an axis, best first; of equal ones the first comes first, NaN is
// larger than every number.
#include "ops/common.h"
#include "ops/order.h"

namespace bitpress {
namespace {

struct TopParams : AlongAxis {
    std::uint64_t k = 0;
    Dtype dtype = Dtype::f32;
    bool largest = true;
};

Status plan_top_k(PlanContext& context) noexcept {
    TopParams& p = context.make<TopParams>();
    const Shape& in = context.inputs[0].shape;
    p.dtype = context.inputs[0].dtype;
    if (!among(p.dtype, number_types)) return Status::unsupported;
    unsigned axis = 0;
    BP_TRY(read_axis(context, -1, &axis, &p));
    const std::int64_t k = context.integer(Key::k, 1);
    if (k < 1 || static_cast<std::uint64_t>(k) > p.axis) return Status::bad_argument;
    p.k = static_cast<std::uint64_t>(k);
    p.largest = context.integer(Key::largest, 1) != 0;
    for (unsigned i = 0; i < 2; ++i) {
        context.outputs[i] = in;
        context.outputs[i].dims[axis] = p.k;
    }
    context.output_dtypes[0] = p.dtype;
    context.output_dtypes[1] = Dtype::i64;
    context.scratch_floats = 4 * p.k;  // a key and a place each
    std::uint64_t steps = 1;           // of a heap
    while (steps < 64 && p.k >> steps != 0) ++steps;
    return checked_mul(elements(in), steps, &context.work) ? Status::ok : Status::too_large;
}

struct Entry {
    std::uint64_t key;
    std::uint64_t place;
    bool worse_than(const Entry& other) const noexcept {
        return key < other.key || (key == other.key && place > other.place);
    }
};

// A heap whose root is the worst entry.
void sink_worst(Entry* heap, std::uint64_t count, std::uint64_t at) noexcept {
    sink(heap, count, at, [](const Entry& a, const Entry& b) noexcept { return a.worse_than(b); });
}

Status run_top_k(const RunContext& context) noexcept {
    const TopParams& p = context.parameters<TopParams>();
    const unsigned bytes = element_bytes(p.dtype);
    auto* heap = reinterpret_cast<Entry*>(context.scratch);
    auto* places = static_cast<std::int64_t*>(context.outputs[1]);
    for (std::uint64_t row = 0; row < p.outer * p.inner; ++row) {
        const std::uint64_t block = row / p.inner;
        const std::uint64_t first = block * p.axis * p.inner + row % p.inner;
        for (std::uint64_t i = 0; i < p.axis; ++i) {
            const std::uint64_t key = order_key(p.dtype, element(context.inputs[0], first + i * p.inner, bytes));
            const Entry entry = {p.largest ? key : ~key, i};
            if (i < p.k) {
                heap[i] = entry;
                for (std::uint64_t n = p.k / 2; i + 1 == p.k && n > 0; --n) sink_worst(heap, p.k, n - 1);
            } else if (heap[0].worse_than(entry)) {
                heap[0] = entry;
                sink_worst(heap, p.k, 0);
            }
        }
        const std::uint64_t to = block * p.k * p.inner + row % p.inner;
        for (std::uint64_t n = p.k; n > 0; --n) {  // the worst that is left goes last
            const Entry worst = heap[0];
            heap[0] = heap[n - 1];
            sink_worst(heap, n - 1, 0);
            const std::uint64_t at = to + (n - 1) * p.inner;
            copy_elements(bytes, element(context.inputs[0], first + worst.place * p.inner, bytes), 1,
                          element(context.outputs[0], at, bytes), 1, 1);
            if (places != nullptr) places[at] = static_cast<std::int64_t>(worst.place);
        }
    }
    return Status::ok;
}

}  // namespace

const Operator op_TopK = {
    .outputs = 2,
    .keys = key_bit(Key::axis) | key_bit(Key::k) | key_bit(Key::largest),
    .flags = op_typed,
    .param_bytes = sizeof(TopParams),
    .plan = plan_top_k,
    .run = run_top_k,
};

}  // namespace bitpress
