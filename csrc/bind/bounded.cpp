// Bounded frames as Python sees them; the GIL is released while they are coded.
#include "codings/bounded.h"

#include "bind/bind.h"
#include "bind/buffers.h"
#include "bind/threads.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

bounded::Array array_of(unsigned element, const py::tuple& dims) {
    bounded::Array array;
    if (element > 1 || dims.size() > bounded::max_rank) throw py::value_error("bounded: element or rank");
    array.element = static_cast<bounded::Element>(element);
    array.rank = static_cast<unsigned>(dims.size());
    for (unsigned k = 0; k < array.rank; ++k) array.dims[k] = dims[k].cast<std::uint64_t>();
    return array;
}

py::bytes encode(const py::object& values, unsigned element, const py::tuple& dims, bool relative, double limit,
                 unsigned threads) {
    const Buffer in(values);
    const bounded::Array array = array_of(element, dims);
    const std::size_t bound = bounded::frame_bound(array);
    if (bound == 0) raise_for(Status::too_large, "bounded");
    OutputBytes out(bound);
    std::size_t written = 0;
    Status status;
    {
        const py::gil_scoped_release unlocked;
        const Threads crew(threads, in.bytes().size());
        const Workspace workspace(workers_need(bounded::encode_workspace(array), crew.workers()));
        const bounded::Bound kind = relative ? bounded::Bound::relative : bounded::Bound::absolute;
        status =
            bounded::encode(crew.workers(), in.bytes(), array, kind, limit, out.bytes(), workspace.bytes(), &written);
    }
    raise_for(status, "bounded");
    return out.take(written);
}

// element, dims, relative, step or grid, chunks.
py::tuple info(const py::object& blob) {
    const Buffer in(blob);
    bounded::Frame frame;
    raise_for(bounded::open(in.bytes(), &frame), "bounded");
    const py::tuple dims(frame.array.rank);
    for (unsigned k = 0; k < frame.array.rank; ++k) dims[k] = frame.array.dims[k];
    return py::make_tuple(
        static_cast<unsigned>(frame.array.element), dims, frame.bound == bounded::Bound::relative,
        frame.bound == bounded::Bound::relative ? py::object(py::int_(frame.grid)) : py::object(py::float_(frame.step)),
        frame.geometry.chunks);
}

std::uint64_t chunk_start(const py::object& blob, std::uint64_t chunk) {
    const Buffer in(blob);
    bounded::Frame frame;
    raise_for(bounded::open(in.bytes(), &frame), "bounded");
    return bounded::chunk_start(frame.geometry, chunk);
}

void decode_into(const py::object& blob, std::uint64_t first, std::uint64_t last, const py::object& out) {
    const Buffer in(blob);
    const Buffer to(out, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE);
    Status status;
    {
        const py::gil_scoped_release unlocked;
        bounded::Frame frame;
        status = bounded::open(in.bytes(), &frame);
        if (status == Status::ok) {
            const Workspace workspace(bounded::decode_workspace());
            status = bounded::decode(frame, first, last, to.writable(), workspace.bytes());
        }
    }
    raise_for(status, "bounded");
}

}  // namespace

void register_bounded(py::module_& module) {
    module.def("bounded_encode", &encode, py::arg("values"), py::arg("element"), py::arg("dims"), py::arg("relative"),
               py::arg("limit"), py::arg("threads") = 1);
    module.def(
        "bounded_encode_workspace",
        [](unsigned element, const py::tuple& dims) { return bounded::encode_workspace(array_of(element, dims)); },
        py::arg("element"), py::arg("dims"), "Bytes beside input and output that encoding needs.");
    module.def("bounded_workspace", &bounded::decode_workspace, "Bytes beside its output that decoding needs.");
    module.def("bounded_info", &info, py::arg("blob"), "element, dims, relative, step or grid, chunks.");
    module.def("bounded_chunk_start", &chunk_start, py::arg("blob"), py::arg("chunk"),
               "How many elements stand before a chunk.");
    module.def("bounded_decode_into", &decode_into, py::arg("blob"), py::arg("first"), py::arg("last"), py::arg("out"),
               "Chunks first .. last - 1 into a buffer of exactly their size.");
}

}  // namespace bitpress::bind
