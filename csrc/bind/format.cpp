// The container's reader for Python: numbers and ranges; bitpress/container gives them names.
#include "format.h"

#include <memory>
#include <string>

#include "bind/bind.h"
#include "kernels/kernels.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

Bytes contiguous(const py::buffer_info& info) {
    if (info.ndim != 1 || info.itemsize != 1 || (info.size > 1 && info.strides[0] != 1)) {
        throw py::value_error("a contiguous buffer of bytes is needed");
    }
    return {static_cast<const std::uint8_t*>(info.ptr), static_cast<std::size_t>(info.size)};
}

// A checked File and the buffer that it points into.
struct Opened {
    py::buffer_info info;
    File file;
};

std::string text_of(std::span<const char> name) { return {name.data(), name.size()}; }

py::object range_in(const Opened& opened, Bytes part) {
    if (part.empty()) return py::make_tuple(0, 0);
    return py::make_tuple(part.data() - static_cast<const std::uint8_t*>(opened.info.ptr), part.size());
}

std::unique_ptr<Opened> open_file(const py::buffer& buffer, bool full, const std::string& name) {
    auto opened = std::make_unique<Opened>();
    opened->info = buffer.request();
    const Bytes bytes = contiguous(opened->info);
    Refusal refusal;
    Status status = Status::ok;
    {
        const py::gil_scoped_release release;
        status = File::open(bytes, full ? Check::full : Check::none, &opened->file, &refusal);
    }
    if (status != Status::ok) {
        std::string text = name + ": ";
        if (!refusal.name.empty()) {
            text += "tensor " + py::repr(py::str(text_of(refusal.name))).cast<std::string>() + ": ";
        } else if (refusal.tensor != Refusal::no_index) {
            text += "tensor " + std::to_string(refusal.tensor) + ": ";
        }
        raise_as(status, text + (*refusal.why != '\0' ? refusal.why : message(status)));
    }
    return opened;
}

py::tuple tensor_record(const Opened& opened, std::uint32_t index) {
    if (index >= opened.file.tensor_count()) throw py::index_error("no such tensor");
    const StoredTensor t = opened.file.tensor(index);
    const py::tuple shape(t.shape.rank);
    for (unsigned k = 0; k < t.shape.rank; ++k) shape[k] = t.shape.dims[k];
    const int values = t.bounded ? 5 : static_cast<int>(t.scheme.values);
    const py::tuple scheme =
        py::make_tuple(static_cast<int>(t.scheme.structure), values, t.scheme.bits, t.scheme.affine,
                       static_cast<int>(t.scheme.granularity), t.scheme.axis, t.scheme.group_size, t.scheme.vector,
                       t.scheme.pattern[0], t.scheme.pattern[1]);
    return py::make_tuple(text_of(t.name), static_cast<int>(t.dtype), shape, scheme, t.survivors, t.first_stream,
                          t.stream_count, t.plain, t.shares ? py::object(py::int_(t.book)) : py::none());
}

py::tuple stream_record(const Opened& opened, std::uint32_t index) {
    if (index >= opened.file.stream_count()) throw py::index_error("no such stream");
    const StoredStream s = opened.file.stream(index);
    return py::make_tuple(static_cast<int>(s.role), static_cast<int>(s.coding), s.offset, s.stored.size(),
                          s.decoded_bytes, s.padding, s.large, s.checksum, static_cast<int>(s.layout));
}

}  // namespace

void register_format(py::module_& module) {
    py::class_<Opened>(module, "File", "A container whose manifest was checked; it holds on to the buffer.")
        .def(py::init(&open_file), py::arg("buffer"), py::arg("full"), py::arg("name"))
        .def_property_readonly("tensor_count", [](const Opened& o) { return o.file.tensor_count(); })
        .def_property_readonly("stream_count", [](const Opened& o) { return o.file.stream_count(); })
        .def("tensor", &tensor_record, py::arg("index"),
             "(name, dtype, shape, scheme, survivors, first stream, stream count, plain, whose codebook it shares)")
        .def("stream", &stream_record, py::arg("index"),
             "(role, coding, offset, stored, decoded, padding, large, checksum, layout)")
        .def(
            "find",
            [](const Opened& o, const std::string& name) {
                std::uint32_t index = 0;
                return o.file.find({name.data(), name.size()}, &index) ? static_cast<std::int64_t>(index) : -1;
            },
            py::arg("name"), "Index of the tensor of this name, or -1.")
        .def(
            "check_stream",
            [](const Opened& o, std::uint32_t index) {
                if (index >= o.file.stream_count()) throw py::index_error("no such stream");
                const py::gil_scoped_release release;
                return o.file.check_stream(index) == Status::ok;
            },
            py::arg("index"), "Whether a stream and its padding are what was stored.")
        .def(
            "check_head",
            [](const Opened& o) {
                const py::gil_scoped_release release;
                return o.file.check_head() == Status::ok;
            },
            "Whether head and manifest are what was stored.")
        .def_property_readonly(
            "deltas",
            [](const Opened& o) {
                py::list deltas;
                for (std::uint32_t i = 0; i < o.file.delta_count(); ++i) {
                    const Delta delta = o.file.delta(i);
                    deltas.append(py::make_tuple(delta.tensor, delta.how, delta.hash));
                }
                return deltas;
            },
            "[(tensor, how, hash of the base's elements)]")
        .def_property_readonly(
            "graph", [](const Opened& o) { return range_in(o, o.file.graph()); }, "(offset, bytes)")
        .def_property_readonly(
            "metadata", [](const Opened& o) { return range_in(o, o.file.metadata()); }, "(offset, bytes)");
    module.def(
        "checksum",
        [](const py::buffer& data, std::uint64_t seed) {
            const py::buffer_info info = data.request();
            const Bytes bytes = contiguous(info);
            const py::gil_scoped_release release;
            return kernels()->xxh64(bytes.data(), bytes.size(), seed);
        },
        py::arg("data"), py::arg("seed") = 0, "XXH64 of a contiguous buffer of bytes.");
}

}  // namespace bitpress::bind
