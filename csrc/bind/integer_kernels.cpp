// The integer kernels of networks, of one named instruction set, so that a test can hold them against each other.
#include <pybind11/numpy.h>

#include "bind/named_kernels.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Shorts = py::array_t<std::int16_t, py::array::c_style>;
using Codes = py::array_t<std::uint8_t, py::array::c_style>;

// x [k, step >= 16]: a panel and 16 scales.
py::tuple quantize_columns(const std::string& isa, const Floats& x, int largest) {
    need(x.ndim() == 2 && x.shape(1) >= 16 && x.shape(0) <= 512);
    const auto k = static_cast<std::size_t>(x.shape(0));
    Shorts panel(static_cast<py::ssize_t>((k + 1) / 2 * 32));
    Floats scales(16);
    need(largest > 0 && largest <= 32767);
    named(isa).quantize_columns_s16(x.data(), static_cast<std::size_t>(x.shape(1)), k, largest, panel.mutable_data(),
                                    scales.mutable_data());
    return py::make_tuple(panel, scales);
}

Shorts widen_codes(const std::string& isa, const Codes& codes, int factor, int zero) {
    Shorts values(codes.size());
    named(isa).widen_codes_s16(codes.data(), static_cast<std::size_t>(codes.size()), factor, zero,
                               values.mutable_data());
    return values;
}

// One row x [k]: its codes, an even number of them, and their scale.
py::tuple quantize_row(const std::string& isa, const Floats& x) {
    need(x.ndim() == 1);
    const auto k = static_cast<std::size_t>(x.shape(0));
    Shorts codes(static_cast<py::ssize_t>((k + 1) / 2 * 2));
    float scale = 0.0F;
    named(isa).quantize_row_s16(x.data(), k, codes.mutable_data(), &scale);
    return py::make_tuple(codes, scale);
}

// codes [columns, k] where by_rows, else [k, columns]; the first `width` of the columns and `k` of the others.
Shorts panels(const std::string& isa, bool by_rows, const Codes& codes, std::size_t width, std::size_t k, int factor,
              int zero) {
    need(codes.ndim() == 2);
    const auto stride = static_cast<std::size_t>(codes.shape(1));
    need(static_cast<std::size_t>(codes.shape(0)) >= (by_rows ? width : k) && stride >= (by_rows ? k : width));
    Shorts result(static_cast<py::ssize_t>((width + 15) / 16 * 16 * ((k + 1) / 2 * 2)));
    const Kernels& table = named(isa);
    const auto fill = by_rows ? table.panel_rows_s16 : table.panel_columns_s16;
    fill(codes.data(), stride, width, k, factor, zero, result.mutable_data());
    return result;
}

// c (m x ldc), in place, n columns of it. a [m, lda], 2 * pairs of them used.
void gemm(const std::string& isa, std::size_t n, std::size_t pairs, const Shorts& a, const Shorts& panels,
          const Floats& column_scales, const Floats& row_scales, const py::object& starts, Floats c, float low,
          float high) {
    need(a.ndim() == 2 && c.ndim() == 2 && a.shape(0) == c.shape(0) && row_scales.size() == c.shape(0));
    need(static_cast<std::size_t>(a.shape(1)) >= 2 * pairs && static_cast<std::size_t>(c.shape(1)) >= n);
    need(static_cast<std::size_t>(panels.size()) == (n + 15) / 16 * 32 * pairs && pairs <= 256);
    need(static_cast<std::size_t>(column_scales.size()) == n);
    const Floats from = starts.is_none() ? Floats() : starts.cast<Floats>();
    need(starts.is_none() || from.size() == c.shape(0));
    named(isa).gemm_s16(static_cast<std::size_t>(c.shape(0)), n, pairs, a.data(), static_cast<std::size_t>(a.shape(1)),
                        panels.data(), column_scales.data(), row_scales.data(),
                        starts.is_none() ? nullptr : from.data(), c.mutable_data(),
                        static_cast<std::size_t>(c.shape(1)), low, high);
}

using Bytes8 = py::array_t<std::int8_t, py::array::c_style>;
using Ints = py::array_t<std::int32_t, py::array::c_style>;

// x [k, 16 or more]: a panel of quads, the scales and the sums of its columns.
py::tuple quantize_columns_bytes(const std::string& isa, const Floats& x) {
    need(x.ndim() == 2 && x.shape(1) >= 16);
    const auto k = static_cast<std::size_t>(x.shape(0));
    Bytes8 panel(static_cast<py::ssize_t>((k + 3) / 4 * 64));
    Floats scales(16);
    Ints sums(16);
    named(isa).quantize_columns_s8(x.data(), static_cast<std::size_t>(x.shape(1)), k, panel.mutable_data(),
                                   scales.mutable_data(), sums.mutable_data());
    return py::make_tuple(panel, scales, sums);
}

// packed: one panel of k codes a column as it stands in a file.
Codes spread_panel(const std::string& isa, unsigned bits, const Codes& packed, std::size_t k) {
    need((bits == 2 || bits == 4) && k % (32 / bits) == 0 && static_cast<std::size_t>(packed.size()) == 2 * k * bits);
    Codes result(static_cast<py::ssize_t>(16 * k));
    named(isa).spread_panel_u8(bits, packed.data(), k, result.mutable_data());
    return result;
}

// c (m x ldc), in place, n columns of it. a [m, lda], 4 * quads of them used.
void gemm_codes(const std::string& isa, std::size_t n, std::size_t quads, const Codes& a, int zero,
                const Bytes8& panels, const Ints& sums, const Floats& column_scales, const Floats& row_scales,
                const py::object& starts, Floats c, float low, float high) {
    need(a.ndim() == 2 && c.ndim() == 2 && a.shape(0) == c.shape(0) && row_scales.size() == c.shape(0));
    need(static_cast<std::size_t>(a.shape(1)) >= 4 * quads && static_cast<std::size_t>(c.shape(1)) >= n);
    need(static_cast<std::size_t>(panels.size()) == (n + 15) / 16 * 64 * quads && quads <= 128);
    need(static_cast<std::size_t>(column_scales.size()) == n && static_cast<std::size_t>(sums.size()) == n);
    need(zero >= 0 && zero <= 255);
    const Floats from = starts.is_none() ? Floats() : starts.cast<Floats>();
    need(starts.is_none() || from.size() == c.shape(0));
    named(isa).gemm_codes_s8(static_cast<std::size_t>(c.shape(0)), n, quads, a.data(),
                             static_cast<std::size_t>(a.shape(1)), zero, panels.data(), sums.data(),
                             column_scales.data(), row_scales.data(), starts.is_none() ? nullptr : from.data(),
                             c.mutable_data(), static_cast<std::size_t>(c.shape(1)), low, high);
}

// One row x [k]: its codes, a multiple of 4 of them, their scale and their sum.
py::tuple quantize_row_bytes(const std::string& isa, const Floats& x, std::size_t spread) {
    const auto k = static_cast<std::size_t>(x.size());
    need(spread == 1 || ((spread == 2 || spread == 4) && k % (32 * spread) == 0));
    Bytes8 codes(static_cast<py::ssize_t>((k + 3) / 4 * 4));
    float scale = 0.0F;
    std::int32_t sum = 0;
    named(isa).quantize_row_s8(x.data(), k, spread, codes.mutable_data(), &scale, &sum);
    return py::make_tuple(codes, scale, sum);
}

// codes [k, columns], the first `width` of them.
Codes panel_columns(const std::string& isa, const Codes& codes, std::size_t width) {
    need(codes.ndim() == 2 && static_cast<std::size_t>(codes.shape(1)) >= width);
    const auto k = static_cast<std::size_t>(codes.shape(0));
    Codes result(static_cast<py::ssize_t>((width + 15) / 16 * 16 * ((k + 3) / 4 * 4)));
    named(isa).panel_columns_u8(codes.data(), static_cast<std::size_t>(codes.shape(1)), width, k,
                                result.mutable_data());
    return result;
}

// codes [width, stride], the first k of each.
Codes panel_rows(const std::string& isa, const Codes& codes, std::size_t k) {
    need(codes.ndim() == 2 && static_cast<std::size_t>(codes.shape(1)) >= k);
    const auto width = static_cast<std::size_t>(codes.shape(0));
    Codes result(static_cast<py::ssize_t>((width + 15) / 16 * 16 * ((k + 3) / 4 * 4)));
    named(isa).panel_rows_u8(codes.data(), static_cast<std::size_t>(codes.shape(1)), width, k, result.mutable_data());
    return result;
}

// packed [width, bytes], k codes of each.
Codes panel_packed(const std::string& isa, unsigned bits, const Codes& packed, std::size_t k) {
    need(packed.ndim() == 2 && (bits == 2 || bits == 4) && k % (256 / bits) == 0);
    const auto width = static_cast<std::size_t>(packed.shape(0));
    const auto stride = static_cast<std::size_t>(packed.shape(1));
    need(stride >= k * bits / 8);
    Codes result(static_cast<py::ssize_t>((width + 15) / 16 * 16 * k));
    named(isa).panel_packed_u8(bits, packed.data(), stride, width, k, result.mutable_data());
    return result;
}

// c (m x ldc), in place, n columns of it. a [m, lda], 4 * quads of them used.
void gemm_bytes(const std::string& isa, std::size_t n, std::size_t quads, unsigned bits, const Bytes8& a,
                const Ints& sums, const Codes& panels, const Ints& zeros, const Floats& column_scales,
                const Floats& row_scales, const py::object& starts, Floats c, float low, float high) {
    need(a.ndim() == 2 && c.ndim() == 2 && a.shape(0) == c.shape(0) && row_scales.size() == c.shape(0));
    need(static_cast<std::size_t>(a.shape(1)) >= 4 * quads && static_cast<std::size_t>(c.shape(1)) >= n);
    need(static_cast<std::size_t>(panels.size()) == (n + 15) / 16 * 64 * quads && quads <= 128);
    need(static_cast<std::size_t>(column_scales.size()) == n && sums.size() == c.shape(0) && bits >= 2 && bits <= 8);
    need(static_cast<std::size_t>(zeros.size()) == n);
    const Floats from = starts.is_none() ? Floats() : starts.cast<Floats>();
    need(starts.is_none() || from.size() == c.shape(0));
    named(isa).gemm_u8s8(static_cast<std::size_t>(c.shape(0)), n, quads, bits, a.data(),
                         static_cast<std::size_t>(a.shape(1)), sums.data(), panels.data(), zeros.data(),
                         column_scales.data(), row_scales.data(), starts.is_none() ? nullptr : from.data(),
                         c.mutable_data(), static_cast<std::size_t>(c.shape(1)), low, high);
}

// y [rows], in place: packed [rows, bytes], k codes of each; scales [rows, blocks]. panels: packed holds whole panels.
void dots(const std::string& isa, unsigned bits, const Codes& packed, std::size_t k, std::size_t block, const Bytes8& x,
          const Ints& sums, const Floats& x_scales, const Floats& scales, const py::object& zeros, Floats y,
          bool panels) {
    const auto rows = static_cast<std::size_t>(y.size());
    const std::size_t unit = (panels ? 32 : 256) / bits;
    need(bits == 2 || bits == 4 || (panels && bits == 8));
    need(block > 0 && block <= 512 && k % unit == 0 && block % unit == 0 && static_cast<std::size_t>(x.size()) == k);
    const std::size_t blocks = (k + block - 1) / block;
    need(packed.ndim() == 2 && static_cast<std::size_t>(packed.shape(0)) == rows && (!panels || rows % 16 == 0));
    need(static_cast<std::size_t>(packed.shape(1)) >= k * bits / 8);
    need(static_cast<std::size_t>(sums.size()) == blocks && static_cast<std::size_t>(x_scales.size()) == blocks);
    need(static_cast<std::size_t>(scales.size()) == blocks * rows);
    const Codes from = zeros.is_none() ? Codes() : zeros.cast<Codes>();
    need(zeros.is_none() || from.size() == scales.size());
    const std::uint8_t* given = zeros.is_none() ? nullptr : from.data();
    if (panels) {
        named(isa).panel_dots_u8s8(bits, packed.data(), rows / 16, k, block, x.data(), sums.data(), x_scales.data(),
                                   scales.data(), given, blocks, 1, y.mutable_data());
        return;
    }
    named(isa).dots_u8s8(bits, packed.data(), static_cast<std::size_t>(packed.shape(1)), rows, k, block, x.data(),
                         sums.data(), x_scales.data(), scales.data(), given, blocks, 1, y.mutable_data());
}

}  // namespace

void register_integer_kernels(py::module_& module) {
    py::module_ kernels = module.def_submodule("kernels");
    kernels.def("quantize_columns_s16", quantize_columns, py::arg("isa"), py::arg("x"), py::arg("largest"));
    kernels.def("quantize_columns_s8", quantize_columns_bytes, py::arg("isa"), py::arg("x"));
    kernels.def("gemm_codes_s8", gemm_codes, py::arg("isa"), py::arg("n"), py::arg("quads"), py::arg("a"),
                py::arg("zero"), py::arg("panels"), py::arg("sums"), py::arg("column_scales"), py::arg("row_scales"),
                py::arg("starts"), py::arg("c").noconvert(), py::arg("low"), py::arg("high"));
    kernels.def("widen_codes_s16", widen_codes, py::arg("isa"), py::arg("codes"), py::arg("factor"), py::arg("zero"));
    kernels.def("quantize_row_s16", quantize_row, py::arg("isa"), py::arg("x"));
    kernels.def("panels_s16", panels, py::arg("isa"), py::arg("by_rows"), py::arg("codes"), py::arg("width"),
                py::arg("k"), py::arg("factor"), py::arg("zero"));
    kernels.def("quantize_row_s8", quantize_row_bytes, py::arg("isa"), py::arg("x"), py::arg("spread"));
    kernels.def("panel_columns_u8", panel_columns, py::arg("isa"), py::arg("codes"), py::arg("width"));
    kernels.def("panel_rows_u8", panel_rows, py::arg("isa"), py::arg("codes"), py::arg("k"));
    kernels.def("panel_packed_u8", panel_packed, py::arg("isa"), py::arg("bits"), py::arg("packed"), py::arg("k"));
    kernels.def("spread_panel_u8", spread_panel, py::arg("isa"), py::arg("bits"), py::arg("packed"), py::arg("k"));
    kernels.def("gemm_u8s8", gemm_bytes, py::arg("isa"), py::arg("n"), py::arg("quads"), py::arg("bits"), py::arg("a"),
                py::arg("sums"), py::arg("panels"), py::arg("zeros"), py::arg("column_scales"), py::arg("row_scales"),
                py::arg("starts"), py::arg("c").noconvert(), py::arg("low"), py::arg("high"));
    kernels.def("dots_u8s8", dots, py::arg("isa"), py::arg("bits"), py::arg("packed"), py::arg("k"), py::arg("block"),
                py::arg("x"), py::arg("sums"), py::arg("x_scales"), py::arg("scales"), py::arg("zeros"),
                py::arg("y").noconvert(), py::arg("panels") = false);
    kernels.def("gemm_s16", gemm, py::arg("isa"), py::arg("n"), py::arg("pairs"), py::arg("a"), py::arg("panels"),
                py::arg("column_scales"), py::arg("row_scales"), py::arg("starts"), py::arg("c").noconvert(),
                py::arg("low"), py::arg("high"));
}

}  // namespace bitpress::bind
