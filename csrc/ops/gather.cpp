// Gather: whole slices along one axis. An index outside the axis is reported when it is met.
#include <string.h>

#include "ops/common.h"
#include "ops/indices.h"
#include "ops/stored.h"

namespace bitpress {
namespace {

struct GatherParams : AlongAxis {
    std::uint64_t indices = 0;
    Dtype dtype = Dtype::f32;
    Dtype index_dtype = Dtype::i64;
};

bool is_sparse_table(const TensorView* view) noexcept { return view != nullptr && is_sparse(view->scheme); }

Status plan_gather(PlanContext& context) noexcept {
    GatherParams& p = context.make<GatherParams>();
    const Operand& data = context.inputs[0];
    const Operand& indices = context.inputs[1];
    if (!among(indices.dtype, index_types)) return Status::unsupported;
    unsigned axis = 0;
    BP_TRY(read_axis(context, 0, &axis, &p));
    p.indices = elements(indices.shape);
    p.dtype = data.dtype;
    p.index_dtype = indices.dtype;
    for (unsigned d = 0; d < axis; ++d) BP_TRY(append(&context.outputs[0], data.shape.dims[d]));
    for (unsigned d = 0; d < indices.shape.rank; ++d) BP_TRY(append(&context.outputs[0], indices.shape.dims[d]));
    for (unsigned d = axis + 1; d < data.shape.rank; ++d) BP_TRY(append(&context.outputs[0], data.shape.dims[d]));
    context.output_dtypes[0] = data.dtype;
    std::uint64_t slices = 0;
    if (!checked_mul(p.outer, p.indices, &slices) || !checked_mul(slices, p.inner, &context.work)) {
        return Status::too_large;
    }
    if (is_sparse_table(data.stored) && data.dtype == Dtype::f32) context.scratch_floats = 2 * p.outer * p.axis;
    return Status::ok;
}

// A packed table is unpacked slice by slice, never whole. A sparse one's slices first learn how many survivors come
// before them.
class Slices {
  public:
    Slices(const RunContext& context, const GatherParams& p) noexcept
        : view_(context.stored[0]), inner_(p.inner), bytes_(element_bytes(p.dtype)), data_(context.inputs[0]) {
        if (view_ != nullptr && data_ == nullptr) data_ = stored_in_place(*view_);
        if (data_ != nullptr || !is_sparse_table(view_)) return;
        before_ = reinterpret_cast<std::uint64_t*>(context.scratch);
        std::uint64_t count = 0;
        for (std::uint64_t slice = 0; slice < p.outer * p.axis; ++slice) {
            before_[slice] = count;
            count += survivors_between(*view_, slice * inner_, inner_);
        }
    }

    Status copy(std::uint64_t slice, void* to) const noexcept {
        if (data_ != nullptr) {
            memcpy(to, element(data_, slice * inner_, bytes_), inner_ * bytes_);
            return Status::ok;
        }
        std::uint64_t before = before_ == nullptr ? 0 : before_[slice];
        return unpack_range(*view_, slice * inner_, {static_cast<float*>(to), static_cast<std::size_t>(inner_)},
                            &before);
    }

  private:
    const TensorView* view_;
    std::uint64_t inner_;
    unsigned bytes_;
    const void* data_;
    std::uint64_t* before_ = nullptr;
};

Status run_gather(const RunContext& context) noexcept {
    const GatherParams& p = context.parameters<GatherParams>();
    const Slices slices(context, p);
    const unsigned bytes = element_bytes(p.dtype);
    for (std::uint64_t i = 0; i < p.outer; ++i) {
        for (std::uint64_t k = 0; k < p.indices; ++k) {
            std::uint64_t index = 0;
            BP_TRY(read_index(p.index_dtype, context.inputs[1], k, p.axis, &index));
            BP_TRY(slices.copy(i * p.axis + index, element(context.outputs[0], (i * p.indices + k) * p.inner, bytes)));
        }
    }
    return Status::ok;
}

}  // namespace

const Operator op_Gather = {
    .min_inputs = 2,
    .max_inputs = 2,
    .keys = key_bit(Key::axis),
    .reads_stored = 1,
    .flags = op_typed | op_empty,
    .param_bytes = sizeof(GatherParams),
    .plan = plan_gather,
    .run = run_gather,
};

}  // namespace bitpress
