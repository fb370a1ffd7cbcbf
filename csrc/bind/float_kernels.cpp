// The float kernels of one named instruction set, so that a test can hold them against each other and the oracles.
#include <pybind11/numpy.h>

#include "bind/named_kernels.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

using Floats = py::array_t<float, py::array::c_style>;

std::size_t dim(const Floats& array, int axis) { return static_cast<std::size_t>(array.shape(axis)); }
std::size_t count(const Floats& array) { return static_cast<std::size_t>(array.size()); }

// c (m x ldc) = start + a (m x lda, k of them used) * panels, for n columns; in place. starts: m of them, or none: c.
void gemm(const std::string& isa, std::size_t n, std::size_t k, const Floats& a, const Floats& panels,
          const Floats& starts, Floats c, float low, float high) {
    need(a.ndim() == 2 && c.ndim() == 2 && dim(a, 0) == dim(c, 0) && dim(a, 1) >= k && dim(c, 1) >= n);
    need(count(panels) == (n + 15) / 16 * 16 * k);
    need(count(starts) == 0 || count(starts) == dim(a, 0));
    named(isa).gemm_f32(dim(a, 0), n, k, a.data(), dim(a, 1), panels.data(),
                        count(starts) == 0 ? nullptr : starts.data(), c.mutable_data(), dim(c, 1), low, high);
}

void gemv(const std::string& isa, std::size_t k, const Floats& a, const Floats& x, Floats y) {
    need(a.ndim() == 2 && dim(a, 1) >= k && count(x) == k && count(y) == dim(a, 0));
    named(isa).gemv_f32(dim(a, 0), k, a.data(), dim(a, 1), x.data(), y.mutable_data());
}

Floats pack_panel(const std::string& isa, std::size_t k, const Floats& a) {
    need(a.ndim() == 2 && dim(a, 0) <= 16 && dim(a, 1) >= k);
    Floats panel(static_cast<py::ssize_t>(16 * k));
    named(isa).pack_panel_f32(a.data(), dim(a, 1), dim(a, 0), k, panel.mutable_data());
    return panel;
}

using Offsets = py::array_t<std::size_t, py::array::c_style>;

// y (rows x n)
Floats depthwise(const std::string& isa, const Floats& x, const Floats& w, const Offsets& offsets, std::size_t row_step,
                 float bias, float low, float high, std::size_t rows, std::size_t n) {
    const std::size_t taps = count(w);
    need(rows > 0 && n > 0 && static_cast<std::size_t>(offsets.size()) == taps);
    for (std::size_t t = 0; t < taps; ++t) need(offsets.data()[t] + (rows - 1) * row_step + n + 8 <= count(x));
    Floats y({static_cast<py::ssize_t>(rows), static_cast<py::ssize_t>(n)});
    named(isa).depthwise_f32(x.data(), w.data(), offsets.data(), taps, row_step, bias, low, high, y.mutable_data(),
                             rows, n);
    return y;
}

// y is changed in place.
void sort_rows(const std::string& isa, const Floats& x, std::size_t first, std::size_t stride, std::size_t length,
               Floats y) {
    need(x.ndim() == 2 && y.ndim() == 2 && dim(x, 0) == dim(y, 0) && stride > 0);
    need(dim(y, 1) >= stride * length && (first + dim(x, 1) + stride - 1) / stride <= length);
    named(isa).sort_rows_f32(x.data(), dim(x, 0), dim(x, 1), first, stride, length, y.mutable_data(), dim(y, 1));
}

// The panel, k x 16; what the kernel leaves keeps `fill`.
Floats gather_panel(const std::string& isa, const Floats& x, const Offsets& offsets, std::size_t n, std::size_t room,
                    float fill) {
    const auto k = static_cast<std::size_t>(offsets.size());
    need(n <= room && room <= 16);
    for (std::size_t p = 0; p < k; ++p) need(offsets.data()[p] + n <= count(x));
    Floats panel({static_cast<py::ssize_t>(k), py::ssize_t{16}});
    for (std::size_t i = 0; i < 16 * k; ++i) panel.mutable_data()[i] = fill;
    named(isa).gather_panel_f32(x.data(), offsets.data(), k, n, room, panel.mutable_data());
    return panel;
}

Floats binary(const std::string& isa, unsigned op, const Floats& a, const Floats& b, std::size_t n, float low,
              float high) {
    need(op < 6 && (count(a) == n || count(a) == 1) && (count(b) == n || count(b) == 1));
    Floats y(static_cast<py::ssize_t>(n));
    named(isa).binary_f32(op, a.data(), count(a) == n ? 1 : 0, b.data(), count(b) == n ? 1 : 0, y.mutable_data(), n,
                          low, high);
    return y;
}

Floats affine(const std::string& isa, const Floats& x, float scale, float shift, float low, float high) {
    Floats y(x.size());
    named(isa).affine_f32(x.data(), count(x), scale, shift, low, high, y.mutable_data());
    return y;
}

// kind: sigmoid, gelu, gelu by tanh, softmax of one row.
Floats smooth(const std::string& isa, const std::string& kind, const Floats& x) {
    const Kernels& table = named(isa);
    Floats y(x.size());
    if (kind == "sigmoid") table.sigmoid_f32(x.data(), count(x), y.mutable_data());
    if (kind == "gelu") table.gelu_f32(false, x.data(), count(x), y.mutable_data());
    if (kind == "gelu_tanh") table.gelu_f32(true, x.data(), count(x), y.mutable_data());
    if (kind == "softmax") table.softmax_f32(x.data(), count(x), y.mutable_data());
    return y;
}

// One row; shifts may have no elements, which is none.
Floats layer_norm(const std::string& isa, const Floats& x, const Floats& scales, const Floats& shifts, double epsilon) {
    need(count(x) > 0 && (count(scales) == count(x) || count(scales) == 1));
    need(count(shifts) == count(x) || count(shifts) <= 1);
    Floats y(x.size());
    named(isa).layer_norm_f32(x.data(), count(x), scales.data(), count(scales) == 1 ? 0 : 1,
                              count(shifts) == 0 ? nullptr : shifts.data(), count(shifts) == 1 ? 0 : 1, epsilon,
                              y.mutable_data());
    return y;
}

}  // namespace

void register_float_kernels(py::module_& module) {
    py::module_ kernels = module.def_submodule("kernels");
    kernels.def("gemm_f32", gemm, py::arg("isa"), py::arg("n"), py::arg("k"), py::arg("a"), py::arg("panels"),
                py::arg("starts"), py::arg("c").noconvert(), py::arg("low"), py::arg("high"));
    kernels.def("gemv_f32", gemv, py::arg("isa"), py::arg("k"), py::arg("a"), py::arg("x"), py::arg("y").noconvert());
    kernels.def("pack_panel_f32", pack_panel, py::arg("isa"), py::arg("k"), py::arg("a"));
    kernels.def("depthwise_f32", depthwise, py::arg("isa"), py::arg("x"), py::arg("w"), py::arg("offsets"),
                py::arg("row_step"), py::arg("bias"), py::arg("low"), py::arg("high"), py::arg("rows"), py::arg("n"));
    kernels.def("sort_rows_f32", sort_rows, py::arg("isa"), py::arg("x"), py::arg("first"), py::arg("stride"),
                py::arg("length"), py::arg("y").noconvert());
    kernels.def("gather_panel_f32", gather_panel, py::arg("isa"), py::arg("x"), py::arg("offsets"), py::arg("n"),
                py::arg("room"), py::arg("fill"));
    kernels.def("binary_f32", binary, py::arg("isa"), py::arg("op"), py::arg("a"), py::arg("b"), py::arg("n"),
                py::arg("low"), py::arg("high"));
    kernels.def("affine_f32", affine, py::arg("isa"), py::arg("x"), py::arg("scale"), py::arg("shift"), py::arg("low"),
                py::arg("high"));
    kernels.def("smooth_f32", smooth, py::arg("isa"), py::arg("kind"), py::arg("x"));
    kernels.def("layer_norm_f32", layer_norm, py::arg("isa"), py::arg("x"), py::arg("scales"), py::arg("shifts"),
                py::arg("epsilon"));
}

}  // namespace bitpress::bind
