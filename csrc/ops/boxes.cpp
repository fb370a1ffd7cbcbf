// NonMaxSuppression: of boxes that overlap, the best alone.
#include "ops/common.h"
#include "ops/order.h"

namespace bitpress {
namespace {

struct BoxParams {
    std::uint64_t batch = 0;
    std::uint64_t classes = 0;
    std::uint64_t boxes = 0;
    std::uint64_t bound = 0;  // most that a class of an image may keep
    bool centred = false;     // boxes are centre and size, not corners
};

Status plan_boxes(PlanContext& context) noexcept {
    BoxParams& p = context.make<BoxParams>();
    const Shape& boxes = context.inputs[0].shape;
    const Shape& scores = context.inputs[1].shape;
    constexpr Dtype types[] = {Dtype::f32, Dtype::f32, Dtype::i64, Dtype::f32, Dtype::f32};
    for (unsigned i = 0; i < 5; ++i) {
        if (!context.has(i)) continue;
        if (context.inputs[i].dtype != types[i]) return Status::unsupported;
        if (i > 1 && elements(context.inputs[i].shape) != 1) return Status::bad_shape;
    }
    if (boxes.rank != 3 || scores.rank != 3 || boxes.dims[2] != 4) return Status::bad_shape;
    if (boxes.dims[0] != scores.dims[0] || boxes.dims[1] != scores.dims[2]) return Status::bad_shape;
    p.batch = scores.dims[0];
    p.classes = scores.dims[1];
    p.boxes = scores.dims[2];
    p.centred = context.integer(Key::center_point_box, 0) != 0;
    const std::int64_t bound = context.integer(Key::bound, 0);
    if (bound < 0) return Status::bad_argument;
    p.bound = bound == 0 ? p.boxes : smaller(static_cast<std::uint64_t>(bound), p.boxes);
    BP_TRY(append(&context.outputs[0], p.batch * p.classes * p.bound));
    BP_TRY(append(&context.outputs[0], 3));
    context.output_dtypes[0] = Dtype::i64;
    context.varying[0] = 1;
    context.scratch_floats = 2 * p.boxes + 2 * p.bound;  // places by score, places kept
    std::uint64_t work = p.batch * p.classes * p.boxes;
    return checked_mul(work, p.bound + 64, &context.work) ? Status::ok : Status::too_large;
}

struct Box {
    float y0, x0, y1, x1;
    float area() const noexcept { return (y1 - y0) * (x1 - x0); }
};

Box read_box(const BoxParams& p, const float* at) noexcept {
    if (p.centred) {  // x, y, width, height
        return {at[1] - at[3] / 2.0F, at[0] - at[2] / 2.0F, at[1] + at[3] / 2.0F, at[0] + at[2] / 2.0F};
    }
    const bool y = at[0] <= at[2];
    const bool x = at[1] <= at[3];
    return {at[y ? 0 : 2], at[x ? 1 : 3], at[y ? 2 : 0], at[x ? 3 : 1]};
}

// Whether the part that two boxes share is more than `most` of what they cover together.
bool overlap(const Box& a, const Box& b, float most) noexcept {
    const float height = (a.y1 < b.y1 ? a.y1 : b.y1) - (a.y0 > b.y0 ? a.y0 : b.y0);
    const float width = (a.x1 < b.x1 ? a.x1 : b.x1) - (a.x0 > b.x0 ? a.x0 : b.x0);
    if (!(height > 0.0F) || !(width > 0.0F)) return false;
    const float shared = height * width;
    const float together = a.area() + b.area() - shared;
    return a.area() > 0.0F && b.area() > 0.0F && together > 0.0F && shared / together > most;
}

Status run_boxes(const RunContext& context) noexcept {
    const BoxParams& p = context.parameters<BoxParams>();
    const auto number = [&](unsigned i, float usual) noexcept {
        return context.input_count > i && context.inputs[i] != nullptr ? *context.input(i) : usual;
    };
    std::int64_t asked = 0;  // none kept where it is not said
    if (context.input_count > 2 && context.inputs[2] != nullptr)
        asked = *static_cast<const std::int64_t*>(context.inputs[2]);
    const float most_overlap = number(3, 0.0F);
    const float least_score = number(4, -__builtin_inff());
    if (asked > 0 && static_cast<std::uint64_t>(asked) > p.bound && p.bound < p.boxes) return Status::too_large;
    const std::uint64_t most = asked <= 0 ? 0 : smaller(static_cast<std::uint64_t>(asked), p.bound);
    auto* places = reinterpret_cast<std::uint64_t*>(context.scratch);
    std::uint64_t* kept = places + p.boxes;
    auto* out = static_cast<std::int64_t*>(context.outputs[0]);
    std::uint64_t found = 0;
    for (std::uint64_t row = 0; row < p.batch * p.classes; ++row) {
        const float* scores = context.input(1) + row * p.boxes;
        const float* boxes = context.input(0) + row / p.classes * p.boxes * 4;
        std::uint64_t candidates = 0;
        for (std::uint64_t i = 0; i < p.boxes && most > 0; ++i) {
            if (scores[i] > least_score) places[candidates++] = i;
        }
        sort(places, candidates, [&](std::uint64_t a, std::uint64_t b) noexcept {
            return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
        });
        std::uint64_t count = 0;
        for (std::uint64_t i = 0; i < candidates && count < most; ++i) {
            const Box box = read_box(p, boxes + places[i] * 4);
            bool best = true;
            for (std::uint64_t k = 0; k < count && best; ++k)
                best = !overlap(box, read_box(p, boxes + kept[k] * 4), most_overlap);
            if (!best) continue;
            kept[count++] = places[i];
            out[3 * found] = static_cast<std::int64_t>(row / p.classes);
            out[3 * found + 1] = static_cast<std::int64_t>(row % p.classes);
            out[3 * found + 2] = static_cast<std::int64_t>(places[i]);
            ++found;
        }
    }
    context.output_shapes[0].dims[0] = found;
    return Status::ok;
}

}  // namespace

const Operator op_NonMaxSuppression = {
    .min_inputs = 2,
    .max_inputs = 5,
    .keys = key_bit(Key::bound) | key_bit(Key::center_point_box),
    .flags = op_typed,
    .param_bytes = sizeof(BoxParams),
    .plan = plan_boxes,
    .run = run_boxes,
};

}  // namespace bitpress
