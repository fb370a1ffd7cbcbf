// Bounded frames as Python sees them; the GIL is released while they are coded.
#include "codings/bounded.h"

#include <memory>

#include "bind/bind.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

class View {
  public:
    View(const py::object& object, int flags) {
        if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) throw py::error_already_set();
    }
    ~View() { PyBuffer_Release(&view_); }
    View(const View&) = delete;
    View& operator=(const View&) = delete;
    MutableBytes bytes() const { return {static_cast<std::uint8_t*>(view_.buf), static_cast<std::size_t>(view_.len)}; }

  private:
    Py_buffer view_{};
};

bounded::Array array_of(unsigned element, const py::tuple& dims) {
    bounded::Array array;
    if (element > 1 || dims.size() > bounded::max_rank) throw py::value_error("bounded: element or rank");
    array.element = static_cast<bounded::Element>(element);
    array.rank = static_cast<unsigned>(dims.size());
    for (unsigned k = 0; k < array.rank; ++k) array.dims[k] = dims[k].cast<std::uint64_t>();
    return array;
}

py::bytes encode(const py::object& values, unsigned element, const py::tuple& dims, bool relative, double limit) {
    const View in(values, PyBUF_C_CONTIGUOUS);
    const bounded::Array array = array_of(element, dims);
    const std::size_t bound = bounded::frame_bound(array);
    Status status = bound == 0 ? Status::too_large : Status::ok;
    std::size_t written = 0;
    std::unique_ptr<std::uint8_t[]> out;
    if (status == Status::ok) {
        const py::gil_scoped_release unlocked;
        out.reset(new std::uint8_t[bound]);
        const std::size_t need = bounded::encode_workspace(array);
        const std::unique_ptr<std::uint8_t[]> workspace(new std::uint8_t[need]);
        status = bounded::encode(in.bytes(), array, relative ? bounded::Bound::relative : bounded::Bound::absolute,
                                 limit, {out.get(), bound}, {workspace.get(), need}, &written);
    }
    raise_for(status, "bounded");
    return py::bytes(reinterpret_cast<const char*>(out.get()), written);
}

// element, dims, relative, step or grid, chunks.
py::tuple info(const py::object& blob) {
    const View in(blob, PyBUF_C_CONTIGUOUS);
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
    const View in(blob, PyBUF_C_CONTIGUOUS);
    bounded::Frame frame;
    raise_for(bounded::open(in.bytes(), &frame), "bounded");
    return bounded::chunk_start(frame.geometry, chunk);
}

void decode_into(const py::object& blob, std::uint64_t first, std::uint64_t last, const py::object& out) {
    const View in(blob, PyBUF_C_CONTIGUOUS);
    const View to(out, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE);
    Status status;
    {
        const py::gil_scoped_release unlocked;
        bounded::Frame frame;
        status = bounded::open(in.bytes(), &frame);
        if (status == Status::ok) {
            const std::unique_ptr<std::uint8_t[]> workspace(new std::uint8_t[bounded::decode_workspace()]);
            status = bounded::decode(frame, first, last, to.bytes(), {workspace.get(), bounded::decode_workspace()});
        }
    }
    raise_for(status, "bounded");
}

}  // namespace

void register_bounded(py::module_& module) {
    module.def("bounded_encode", &encode, py::arg("values"), py::arg("element"), py::arg("dims"), py::arg("relative"),
               py::arg("limit"));
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
