// The kernel table as Python sees it: which instruction sets there are, which one is in use.
#include "kernels/kernels.h"

#include "bind/bind.h"

namespace py = pybind11;

namespace bitpress::bind {

void register_kernels(py::module_& module) {
    if (kernels() == nullptr) {
        throw py::import_error("BITPRESS_ISA names an instruction set that this CPU or this build lacks");
    }
    module.def("isa", [] { return isa_name(kernels()->isa); }, "The instruction set in use.");
    module.def(
        "isas",
        [] {
            py::list names;
            for (int i = 0; i < isa_count; ++i) {
                if (kernels(static_cast<Isa>(i)) != nullptr) names.append(isa_name(static_cast<Isa>(i)));
            }
            return names;
        },
        "Every instruction set that this CPU and this build run.");
    module.def(
        "xxh64",
        [](const py::bytes& data, std::uint64_t seed) {
            char* p = nullptr;
            py::ssize_t n = 0;
            if (PyBytes_AsStringAndSize(data.ptr(), &p, &n) != 0) throw py::error_already_set();
            return kernels()->xxh64(reinterpret_cast<const std::uint8_t*>(p), static_cast<std::size_t>(n), seed);
        },
        py::arg("data"), py::arg("seed") = 0);
}

}  // namespace bitpress::bind
