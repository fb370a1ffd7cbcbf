// Packing and unpacking of one tensor. Arguments are plain numbers and buffers; bitpress/tensor.py gives them names.
#include "tensor.h"

#include <limits>
#include <vector>

#include "bind/bind.h"
#include "kernels/kernels.h"
#include "tensor/mask.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

// A caller's contiguous buffer, held for as long as the C++ side looks at it.
class Buffer {
  public:
    Buffer(const py::handle& object, bool writable) {
        if (PyObject_GetBuffer(object.ptr(), &view_, writable ? PyBUF_CONTIG : PyBUF_CONTIG_RO) != 0) {
            throw py::error_already_set();
        }
    }
    Buffer(Buffer&& other) noexcept : view_(other.view_) { other.view_.obj = nullptr; }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    Buffer& operator=(Buffer&&) = delete;
    ~Buffer() { PyBuffer_Release(&view_); }
    Bytes bytes() const { return {static_cast<const std::uint8_t*>(view_.buf), static_cast<std::size_t>(view_.len)}; }
    MutableBytes writable() const {
        return {static_cast<std::uint8_t*>(view_.buf), static_cast<std::size_t>(view_.len)};
    }
    std::span<std::uint16_t> words() const {
        if (reinterpret_cast<std::uintptr_t>(view_.buf) % alignof(std::uint16_t) != 0 || view_.len % 2 != 0) {
            throw py::value_error("the buffer must hold aligned uint16 values");
        }
        return {static_cast<std::uint16_t*>(view_.buf), static_cast<std::size_t>(view_.len) / 2};
    }
    std::span<float> floats() const {
        if (reinterpret_cast<std::uintptr_t>(view_.buf) % alignof(float) != 0 || view_.len % 4 != 0) {
            throw py::value_error("the buffer must hold aligned float32 values");
        }
        return {static_cast<float*>(view_.buf), static_cast<std::size_t>(view_.len) / 4};
    }

  private:
    Py_buffer view_ = {};
};

// (structure, values, bits, affine, granularity, axis, group_size, vector, and the two of its pattern):
// docs/format.md's numbers.
Scheme scheme_from(const py::tuple& t) {
    if (t.size() != 10) throw py::value_error("a scheme is ten numbers");
    return {static_cast<Structure>(t[0].cast<std::uint8_t>()),
            static_cast<Values>(t[1].cast<std::uint8_t>()),
            t[2].cast<std::uint8_t>(),
            t[3].cast<bool>(),
            static_cast<Granularity>(t[4].cast<std::uint8_t>()),
            t[5].cast<std::uint8_t>(),
            t[6].cast<std::uint32_t>(),
            t[7].cast<std::uint8_t>(),
            {t[8].cast<std::uint16_t>(), t[9].cast<std::uint16_t>()}};
}

Shape shape_from(const py::tuple& dims) {
    Shape shape;
    if (dims.size() > max_rank)
        raise_for(Status::too_large, "a shape of " + std::to_string(dims.size()) + " dimensions");
    shape.rank = static_cast<unsigned>(dims.size());
    for (std::size_t k = 0; k < dims.size(); ++k) shape.dims[k] = dims[k].cast<std::uint64_t>();
    return shape;
}

using Sizes = std::uint64_t[role_count];

// New bytes objects of these sizes, not filled yet, and where each one's bytes are.
py::dict new_streams(const Sizes& bytes, MutableBytes (&streams)[role_count]) {
    py::dict result;
    for (int role = 0; role < role_count; ++role) {
        if (bytes[role] > static_cast<std::uint64_t>(std::numeric_limits<Py_ssize_t>::max())) throw std::bad_alloc();
        PyObject* object = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(bytes[role]));
        if (object == nullptr) throw py::error_already_set();
        result[py::int_(role)] = py::reinterpret_steal<py::bytes>(object);
        streams[role] = {reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(object)),
                         static_cast<std::size_t>(bytes[role])};
    }
    return result;
}

py::dict used(const py::dict& streams, const Sizes& bytes, const Scheme& scheme) {
    const bool keep = scheme.values == Values::keep;
    const bool wanted[role_count] = {keep, !keep, is_sparse(scheme), !keep, scheme.affine, false};
    py::dict result;
    for (int role = 0; role < role_count; ++role) {
        if (wanted[role] || bytes[role] != 0) result[py::int_(role)] = streams[py::int_(role)];
    }
    return result;
}

py::dict pack_values(const py::object& values, const py::tuple& dims, const py::tuple& scheme_numbers,
                     const std::string& name) {
    const Scheme scheme = scheme_from(scheme_numbers);
    const Shape shape = shape_from(dims);
    const Buffer in(values, false);
    const std::span<const float> x = in.floats();
    Grid grid;
    raise_for(make_grid(shape, scheme, &grid), name);
    const std::uint64_t stored = count_survivors(x, shape, scheme);
    Sizes bytes;
    raise_for(stream_sizes(Dtype::f32, shape, scheme, stored, bytes), name);
    MutableBytes streams[role_count];
    const py::dict all = new_streams(bytes, streams);
    std::vector<float> ranges(2 * static_cast<std::size_t>(grid.scales));
    Status status = Status::ok;
    {
        const py::gil_scoped_release release;
        status = pack(x, shape, scheme, ranges, streams);
    }
    raise_for(status, name);
    return used(all, bytes, scheme);
}

py::dict pack_kept(const py::object& data, unsigned element_bytes) {
    const Buffer in(data, false);
    if (element_bytes == 0 || in.bytes().size() % element_bytes != 0)
        throw py::value_error("element_bytes does not fit");
    Sizes bytes = {};
    const Bytes elements = in.bytes();
    bytes[static_cast<int>(Role::data)] = count_survivors(elements, element_bytes) * element_bytes;
    bytes[static_cast<int>(Role::mask)] = packed_bytes(elements.size() / element_bytes, 1);
    MutableBytes streams[role_count];
    const py::dict all = new_streams(bytes, streams);
    Status status = Status::ok;
    {
        const py::gil_scoped_release release;
        status = pack_keep(elements, element_bytes, streams[static_cast<int>(Role::data)],
                           streams[static_cast<int>(Role::mask)]);
    }
    raise_for(status, "elements");
    return used(all, bytes, Scheme{Structure::bitmap});
}

// A checked TensorView over the caller's buffers.
struct Held {
    TensorView view;
    std::vector<Buffer> buffers;

    Held(unsigned dtype, const py::tuple& dims, const py::tuple& scheme, const py::dict& streams,
         const std::string& name) {
        view.dtype = static_cast<Dtype>(dtype);
        view.shape = shape_from(dims);
        view.scheme = scheme_from(scheme);
        buffers.reserve(role_count);
        for (const auto& [key, value] : streams) {
            const int role = key.cast<int>();
            if (role < 0 || role >= role_count) throw py::value_error("no such stream role");
            buffers.emplace_back(value, false);
            view.streams[role] = buffers.back().bytes();
        }
        Status status = Status::ok;
        {
            const py::gil_scoped_release release;
            status = validate(view);
        }
        raise_for(status, name);
    }
};

void unpack_into(unsigned dtype, const py::tuple& dims, const py::tuple& scheme, const py::dict& streams,
                 const std::string& name, std::uint64_t first, const py::object& out) {
    const Held held(dtype, dims, scheme, streams, name);
    const Buffer target(out, true);
    const std::span<float> values = target.floats();
    std::uint64_t survivors = 0;
    Status status = Status::ok;
    {
        const py::gil_scoped_release release;
        std::uint64_t count = 0;
        if (element_count(held.view.shape, &count) == Status::ok)
            survivors = survivors_between(held.view, 0, first < count ? first : count);
        status = unpack_range(held.view, first, values, &survivors);
    }
    raise_for(status, name);
}

void unpack_bytes(unsigned dtype, const py::tuple& dims, const py::tuple& scheme, const py::dict& streams,
                  const std::string& name, const py::object& out) {
    const Held held(dtype, dims, scheme, streams, name);
    const Buffer target(out, true);
    const bool wide = held.view.scheme.values != Values::keep && is_wide(held.view.scheme.bits);
    const std::span<std::uint16_t> words = wide ? target.words() : std::span<std::uint16_t>();
    std::uint64_t survivors = 0;
    Status status = Status::ok;
    {
        const py::gil_scoped_release release;
        status = held.view.scheme.values == Values::keep ? unpack_keep(held.view, target.writable())
                 : wide                                  ? unpack_codes(held.view, 0, words, &survivors)
                                                         : unpack_codes(held.view, 0, target.writable(), &survivors);
    }
    raise_for(status, name);
}

py::object pack_mask(const py::object& wanted, const py::tuple& dims, const py::tuple& scheme_numbers,
                     const std::string& name) {
    const Scheme scheme = scheme_from(scheme_numbers);
    const Shape shape = shape_from(dims);
    const Buffer in(wanted, false);
    Grid grid;
    raise_for(make_grid(shape, scheme, &grid), name);
    if (in.bytes().size() != grid.count) throw py::value_error("a flag for each element is needed");
    Sizes bytes = {};
    bytes[0] = mask_bytes(shape, scheme, grid.count);
    MutableBytes streams[role_count];
    const py::dict result = new_streams(bytes, streams);
    const Wanted flags = {nullptr, in.bytes().data()};
    Status status = Status::ok;
    {
        const py::gil_scoped_release release;
        status = write_mask(flags, shape, scheme, grid.count, streams[0]);
    }
    raise_for(status, name);
    return py::object(result[py::int_(0)]);
}

void unpack_mask(const py::object& mask, const py::tuple& dims, const py::tuple& scheme, const std::string& name,
                 const py::object& out) {
    TensorView view;
    view.shape = shape_from(dims);
    view.scheme = scheme_from(scheme);
    const Buffer in(mask, false);
    view.streams[static_cast<int>(Role::mask)] = in.bytes();
    const Buffer target(out, true);
    const MutableBytes flags = target.writable();
    Grid grid;
    raise_for(make_grid(view.shape, view.scheme, &grid), name);
    if (flags.size() != grid.count || !is_sparse(view.scheme))
        throw py::value_error("a flag for each element is needed");
    std::uint64_t stored = 0;
    raise_for(check_mask(view, grid.count, &stored), name);
    const py::gil_scoped_release release;
    for (std::size_t first = 0; first < flags.size(); first += 64) {
        std::uint8_t bits[8];
        const std::size_t n = flags.size() - first < 64 ? flags.size() - first : 64;
        mask_block(view, first, n, bits);
        for (std::size_t i = 0; i < n; ++i) flags[first + i] = bits[i / 8] >> i % 8 & 1;
    }
}

}  // namespace

void register_tensor(py::module_& module) {
    module.def("pack_values", &pack_values, py::arg("values"), py::arg("shape"), py::arg("scheme"), py::arg("name"),
               "Streams by role of float32 values under a scheme with integer values.");
    module.def("pack_kept", &pack_kept, py::arg("data"), py::arg("element_bytes"),
               "Streams by role of a bitmap of elements kept as they are.");
    module.def("unpack_values", &unpack_into, py::arg("dtype"), py::arg("shape"), py::arg("scheme"), py::arg("streams"),
               py::arg("name"), py::arg("first"), py::arg("out"),
               "Elements first.. of a tensor, as float32, into out. Validates the streams.");
    module.def("unpack_bytes", &unpack_bytes, py::arg("dtype"), py::arg("shape"), py::arg("scheme"), py::arg("streams"),
               py::arg("name"), py::arg("out"),
               "All elements kept as they are, or all codes of integer values and codebooks (uint8, or uint16 where "
               "they have more than "
               "8 bits), into out. Validates the streams.");
    module.def(
        "validate_tensor",
        [](unsigned dtype, const py::tuple& dims, const py::tuple& scheme, const py::dict& streams,
           const std::string& name) { const Held held(dtype, dims, scheme, streams, name); },
        py::arg("dtype"), py::arg("shape"), py::arg("scheme"), py::arg("streams"), py::arg("name"),
        "Raises unless the streams are exactly what dtype, shape and scheme imply.");
    module.def("pack_mask", &pack_mask, py::arg("wanted"), py::arg("shape"), py::arg("scheme"), py::arg("name"),
               "The stream mask of a sparse scheme that stores each element with a flag that is not 0, a byte each.");
    module.def("unpack_mask", &unpack_mask, py::arg("mask"), py::arg("shape"), py::arg("scheme"), py::arg("name"),
               py::arg("out"), "Whether each element is stored, a byte each, into out. Validates the mask.");
    module.def(
        "pack_codes",
        [](const py::object& codes, unsigned bits) {
            const Buffer in(codes, false);
            if (bits < 1 || bits > max_bits) raise_for(Status::bad_argument, "bits");
            const std::size_t count = is_wide(bits) ? in.words().size() : in.bytes().size();
            Sizes bytes = {};
            bytes[0] = packed_bytes(count, bits);
            MutableBytes streams[role_count];
            const py::dict packed = new_streams(bytes, streams);
            if (is_wide(bits)) {
                kernels()->pack_wide(in.words().data(), count, bits, streams[0].data());
            } else {
                kernels()->pack_bits(in.bytes().data(), count, bits, streams[0].data());
            }
            return py::object(packed[py::int_(0)]);
        },
        py::arg("codes"), py::arg("bits"),
        "Codes (uint8, or uint16 where they have more than 8 bits), each under 2**bits, packed.");
    module.def(
        "count_bits",
        [](const py::object& mask) {
            const Buffer bits(mask, false);
            return kernels()->count_bits(bits.bytes().data(), bits.bytes().size());
        },
        py::arg("mask"), "How many bits are set.");
    module.def(
        "stream_sizes",
        [](unsigned dtype, const py::tuple& dims, const py::tuple& scheme, std::uint64_t stored) {
            Sizes bytes;
            raise_for(stream_sizes(static_cast<Dtype>(dtype), shape_from(dims), scheme_from(scheme), stored, bytes),
                      "");
            return py::make_tuple(bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]);
        },
        py::arg("dtype"), py::arg("shape"), py::arg("scheme"), py::arg("stored"), "Bytes of each stream, by role.");
}

}  // namespace bitpress::bind
