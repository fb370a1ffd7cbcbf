// Any floats under any scheme: refused, or packed into streams that are valid and within half a step; twice the same.
#include <cmath>
#include <vector>

#include "codings_fuzz.h"
#include "tensor.h"

namespace {

using namespace bitpress;
using fuzz::Memory;
using fuzz::require;

Scheme scheme_of(const std::uint8_t* head) {
    Scheme scheme;
    scheme.structure = static_cast<Structure>((head[0] & 1) == 0 ? 0 : 1 + (head[0] >> 4) % 3);
    if (scheme.structure == Structure::nm) {
        scheme.pattern[1] = 2 + head[4] % 15;
        scheme.pattern[0] = 1 + head[5] % (scheme.pattern[1] - 1);
    } else if (scheme.structure == Structure::block) {
        scheme.pattern[0] = 1 + head[4] % 70;
        scheme.pattern[1] = 1 + head[5] % 70;
    }
    scheme.values = Values::integer;
    scheme.affine = (head[0] & 2) != 0;
    scheme.granularity = static_cast<Granularity>(head[0] >> 2 & 3);
    scheme.bits = static_cast<std::uint8_t>(1 + head[1] % 16);
    if (scheme.granularity == Granularity::axis) scheme.axis = head[2] % 3;
    if (scheme.granularity == Granularity::group) scheme.group_size = 1 + head[2];
    return scheme;
}

void check_values(const TensorView& view, std::span<const float> values, std::span<const float> scales,
                  const Grid& grid) {
    std::vector<float> back(values.size());
    std::uint64_t survivors = 0;
    require(unpack_range(view, 0, back, &survivors) == Status::ok, "packed, but not unpacked");
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (is_sparse(view.scheme) && values[i] == 0.0F) {
            require(back[i] == 0.0F && !std::signbit(back[i]), "a zero is not zero");
            continue;
        }
        const std::uint64_t run = i / grid.row * grid.runs_per_row + i % grid.row / grid.run;
        const double step = scales[run % grid.scales];
        const double error = std::fabs(static_cast<double>(values[i]) - static_cast<double>(back[i]));
        const unsigned bits = view.scheme.bits < 8 ? 8 : view.scheme.bits;
        require(error <= step * (0.5 + std::ldexp(1.0, static_cast<int>(bits) - 21)), "more than half a step");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 6) return 0;
    const Scheme scheme = scheme_of(data);
    std::vector<float> values((size - 6) / 4);
    if (!values.empty()) std::memcpy(values.data(), data + 6, values.size() * 4);
    Shape shape;
    const std::uint64_t columns = 1 + data[3] % 40;
    shape.rank = columns <= values.size() ? 2 : 1;
    shape.dims[0] = columns <= values.size() ? values.size() / columns : values.size();
    shape.dims[1] = columns;
    if (shape.rank == 2) values.resize(static_cast<std::size_t>(shape.dims[0] * columns));
    Grid grid;
    if (make_grid(shape, scheme, &grid) != Status::ok) return 0;
    const bool groups = scheme.structure == Structure::nm;
    if (groups && values.size() % scheme.pattern[1] != 0) return 0;
    std::uint64_t bytes[role_count];
    const std::uint64_t stored = count_survivors(values, shape, scheme);
    require(stream_sizes(Dtype::f32, shape, scheme, stored, bytes) == Status::ok, "no sizes");
    std::unique_ptr<Memory> held[2][role_count];
    Status status[2];
    TensorView view{Dtype::f32, shape, scheme, {}};
    for (int pass = 0; pass < 2; ++pass) {
        MutableBytes streams[role_count];
        for (int role = 0; role < role_count; ++role) {
            held[pass][role] = std::make_unique<Memory>(static_cast<std::size_t>(bytes[role]), pass * 0xFF);
            streams[role] = held[pass][role]->span();
            view.streams[role] = streams[role];
        }
        std::vector<float> ranges(2 * static_cast<std::size_t>(grid.scales), pass * 1e30F);
        status[pass] = pack(values, shape, scheme, ranges, streams);
    }
    require(status[0] == status[1], "the status depends on old memory");
    bool finite = true;
    for (const float value : values) finite = finite && std::isfinite(value);
    require(finite || status[0] == Status::not_finite, "packed NaN or infinity");
    if (status[0] != Status::ok) {
        const bool crowded = groups && status[0] == Status::bad_argument;
        require(!finite || status[0] == Status::too_large || crowded, "refused for no reason");
        return 0;
    }
    for (int role = 0; role < role_count; ++role) {
        require(fuzz::equal(held[0][role]->span(), held[1][role]->span()), "streams depend on old memory");
    }
    require(validate(view) == Status::ok, "packed, but not valid");
    std::vector<float> scales(static_cast<std::size_t>(grid.scales));
    const Bytes stream = view.stream(Role::scales);
    for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = load_le<float>(stream.data() + 4 * i);
    check_values(view, values, scales, grid);
    return 0;
}
