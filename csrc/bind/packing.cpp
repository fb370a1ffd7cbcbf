// The packing kernels of one named instruction set, so that a test can hold them against each other and the oracles.
#include <pybind11/numpy.h>

#include <cstring>
#include <vector>

#include "bind/bind.h"
#include "codings/wide.h"
#include "kernels/kernels.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

using Bytes8 = py::array_t<std::uint8_t, py::array::c_style>;
using Words = py::array_t<std::uint16_t, py::array::c_style>;
using Floats = py::array_t<float, py::array::c_style>;

const Kernels& named(const std::string& isa) {
    for (int i = 0; i < isa_count; ++i) {
        const Kernels* table = kernels(static_cast<Isa>(i));
        if (table != nullptr && isa == isa_name(static_cast<Isa>(i))) return *table;
    }
    throw py::value_error("no instruction set " + isa + " on this CPU");
}

std::size_t count(const py::array& array) { return static_cast<std::size_t>(array.size()); }

void need(bool condition) {
    if (!condition) throw py::value_error("array sizes do not fit each other");
}

Bytes8 pack_bits(const std::string& isa, const Bytes8& codes, unsigned bits) {
    need(bits >= 1 && bits <= 8);
    Bytes8 packed(static_cast<py::ssize_t>((count(codes) * bits + 7) / 8));
    named(isa).pack_bits(codes.data(), count(codes), bits, packed.mutable_data());
    return packed;
}

Bytes8 unpack_bits(const std::string& isa, const Bytes8& packed, std::size_t first, std::size_t n, unsigned bits) {
    need(bits >= 1 && bits <= 8 && n < (std::size_t{1} << 58) && first < (std::size_t{1} << 58));
    need((first + n) * bits <= count(packed) * 8);
    Bytes8 codes(static_cast<py::ssize_t>(n));
    named(isa).unpack_bits(packed.data(), count(packed), first, n, bits, codes.mutable_data());
    return codes;
}

Bytes8 quantize(const std::string& isa, const Floats& x, const Floats& scale, const Floats& zero, unsigned low,
                unsigned high) {
    Bytes8 codes(x.size());
    need(scale.size() == zero.size() && (scale.size() == 1 || scale.size() == x.size()));
    if (scale.size() == 1) {
        named(isa).quantize(x.data(), count(x), *scale.data(), *zero.data(), low, high, codes.mutable_data());
    } else {
        named(isa).quantize_each(x.data(), count(x), scale.data(), zero.data(), low, high, codes.mutable_data());
    }
    return codes;
}

Floats dequantize(const std::string& isa, const Bytes8& codes, const Floats& scale, const Floats& zero) {
    Floats x(codes.size());
    need(scale.size() == zero.size() && (scale.size() == 1 || scale.size() == codes.size()));
    if (scale.size() == 1) {
        named(isa).dequantize(codes.data(), count(codes), *scale.data(), *zero.data(), x.mutable_data());
    } else {
        named(isa).dequantize_each(codes.data(), count(codes), scale.data(), zero.data(), x.mutable_data());
    }
    return x;
}

Floats look_up(const std::string& isa, const Bytes8& codes, unsigned bits, unsigned vector, const Floats& book) {
    need(bits >= 1 && bits <= 8 && vector >= 1 && vector <= 8 && count(book) == std::size_t{vector} << bits);
    for (std::size_t i = 0; i < count(codes); ++i) need(codes.data()[i] >> bits == 0);
    std::vector<std::uint8_t> stored(4 * count(book));
    for (std::size_t i = 0; i < count(book); ++i) store_le(stored.data() + 4 * i, book.data()[i]);
    Floats x(codes.size() * vector);
    named(isa).look_up(codes.data(), count(codes), bits, vector, stored.data(), x.mutable_data());
    return x;
}

Bytes8 pack_wide(const std::string& isa, const Words& codes, unsigned bits) {
    need(bits >= 9 && bits <= 16);
    Bytes8 packed(static_cast<py::ssize_t>((count(codes) * bits + 7) / 8));
    named(isa).pack_wide(codes.data(), count(codes), bits, packed.mutable_data());
    return packed;
}

Words unpack_wide(const std::string& isa, const Bytes8& packed, std::size_t first, std::size_t n, unsigned bits) {
    need(bits >= 9 && bits <= 16 && n < (std::size_t{1} << 58) && first < (std::size_t{1} << 58));
    need((first + n) * bits <= count(packed) * 8);
    Words codes(static_cast<py::ssize_t>(n));
    named(isa).unpack_wide(packed.data(), count(packed), first, n, bits, codes.mutable_data());
    return codes;
}

Words quantize_wide(const std::string& isa, const Floats& x, const Floats& scales, const Floats& zeros, unsigned low,
                    unsigned high) {
    Words codes(x.size());
    need(scales.size() == x.size() && zeros.size() == x.size());
    named(isa).quantize_wide(x.data(), count(x), scales.data(), zeros.data(), low, high, codes.mutable_data());
    return codes;
}

Floats dequantize_wide(const std::string& isa, const Words& codes, const Floats& scales, const Floats& zeros) {
    Floats x(codes.size());
    need(scales.size() == codes.size() && zeros.size() == codes.size());
    named(isa).dequantize_wide(codes.data(), count(codes), scales.data(), zeros.data(), x.mutable_data());
    return x;
}

// Gives the codes and the position after the last raw bit.
py::tuple join_wide(const std::string& isa, unsigned bits, unsigned middle, unsigned split, const Bytes8& symbols,
                    const Bytes8& raw, std::size_t position) {
    need(bits >= wide_min_bits && bits <= wide_max_bits && middle >> bits == 0 && split >= 1 && split <= 3);
    WideTable table;
    make_wide_table(bits, middle, split, &table);
    Words codes(symbols.size());
    position = named(isa).join_wide(&table, symbols.data(), count(symbols), raw.data(), count(raw), position,
                                    codes.mutable_data());
    return py::make_tuple(codes, position);
}

py::tuple min_max(const std::string& isa, const Floats& x) {
    need(x.size() > 0);
    float low = 0;
    float high = 0;
    bool finite = false;
    named(isa).min_max(x.data(), count(x), &low, &high, &finite);
    return py::make_tuple(low, high, finite);
}

py::tuple min_max_each(const std::string& isa, const Floats& x, const Floats& low, const Floats& high) {
    need(low.size() == x.size() && high.size() == x.size());
    Floats new_low(x.size());
    Floats new_high(x.size());
    std::memcpy(new_low.mutable_data(), low.data(), count(x) * sizeof(float));
    std::memcpy(new_high.mutable_data(), high.data(), count(x) * sizeof(float));
    const bool finite = named(isa).min_max_each(x.data(), count(x), new_low.mutable_data(), new_high.mutable_data());
    return py::make_tuple(new_low, new_high, finite);
}

Bytes8 mask_nonzero(const std::string& isa, const Floats& x) {
    Bytes8 mask((x.size() + 7) / 8);
    named(isa).mask_nonzero(x.data(), count(x), mask.mutable_data());
    return mask;
}

Bytes8 compress_bytes(const std::string& isa, const Bytes8& in, const Bytes8& mask) {
    need(mask.size() == (in.size() + 7) / 8);
    Bytes8 out(in.size());
    const std::size_t kept = named(isa).compress_bytes(in.data(), count(in), mask.data(), out.mutable_data());
    Bytes8 exact(static_cast<py::ssize_t>(kept));
    if (kept != 0) std::memcpy(exact.mutable_data(), out.data(), kept);
    return exact;
}

Bytes8 expand_bytes(const std::string& isa, const Bytes8& in, const Bytes8& mask, std::size_t n, std::uint8_t fill) {
    need(count(mask) == (n + 7) / 8);
    need(n % 8 == 0 || (mask.data()[n / 8] >> n % 8) == 0);
    need(scalar::count_bits(mask.data(), count(mask)) <= count(in));
    Bytes8 out(static_cast<py::ssize_t>(n));
    named(isa).expand_bytes(in.data(), count(in), mask.data(), n, fill, out.mutable_data());
    return out;
}

Bytes8 mask_other(const std::string& isa, const Bytes8& in, std::uint8_t value) {
    Bytes8 mask(static_cast<py::ssize_t>((count(in) + 7) / 8));
    named(isa).mask_other(in.data(), count(in), value, mask.mutable_data());
    return mask;
}

Bytes8 split_planes(const std::string& isa, unsigned kind, const Bytes8& in) {
    need(kind < plane_kinds);
    const unsigned width = plane_count(static_cast<PlaneKind>(kind));
    need(count(in) % width == 0);
    Bytes8 out(in.size());
    std::uint8_t* planes[max_planes] = {};
    for (unsigned k = 0; k < width; ++k) planes[k] = out.mutable_data() + k * (count(in) / width);
    named(isa).split_planes(static_cast<PlaneKind>(kind), in.data(), count(in) / width, planes);
    return out;
}

Bytes8 join_planes(const std::string& isa, unsigned kind, const Bytes8& in) {
    need(kind < plane_kinds);
    const unsigned width = plane_count(static_cast<PlaneKind>(kind));
    need(count(in) % width == 0);
    Bytes8 out(in.size());
    const std::uint8_t* planes[max_planes] = {};
    for (unsigned k = 0; k < width; ++k) planes[k] = in.data() + k * (count(in) / width);
    named(isa).join_planes(static_cast<PlaneKind>(kind), planes, count(in) / width, out.mutable_data());
    return out;
}

Floats clear_unmasked(const std::string& isa, const Bytes8& mask, const Floats& x) {
    need(mask.size() == (x.size() + 7) / 8);
    Floats out(x.size());
    std::memcpy(out.mutable_data(), x.data(), count(x) * sizeof(float));
    named(isa).clear_unmasked(mask.data(), count(x), out.mutable_data());
    return out;
}

Floats widen(const std::string& isa, const Bytes8& half, bool brain) {
    need(half.size() % 2 == 0);
    Floats x(half.size() / 2);
    const Kernels& k = named(isa);
    (brain ? k.bf16_to_f32 : k.f16_to_f32)(half.data(), count(x), x.mutable_data());
    return x;
}

}  // namespace

void register_packing(py::module_& module) {
    py::module_ kernels =
        module.def_submodule("kernels", "Single kernels of a named instruction set, for tests and benches.");
    kernels.def("pack_bits", &pack_bits);
    kernels.def("unpack_bits", &unpack_bits);
    kernels.def("pack_wide", &pack_wide);
    kernels.def("unpack_wide", &unpack_wide);
    kernels.def("quantize_wide", &quantize_wide);
    kernels.def("dequantize_wide", &dequantize_wide);
    kernels.def("join_wide", &join_wide);
    kernels.def("quantize", &quantize);
    kernels.def("dequantize", &dequantize);
    kernels.def("look_up", &look_up);
    kernels.def("min_max", &min_max);
    kernels.def("min_max_each", &min_max_each);
    kernels.def("mask_nonzero", &mask_nonzero);
    kernels.def("count_bits", [](const std::string& isa, const Bytes8& mask) {
        return named(isa).count_bits(mask.data(), count(mask));
    });
    kernels.def("compress_bytes", &compress_bytes);
    kernels.def("expand_bytes", &expand_bytes, py::arg("isa"), py::arg("survivors"), py::arg("mask"), py::arg("n"),
                py::arg("fill") = 0);
    kernels.def("mask_other", &mask_other);
    kernels.def("split_planes", &split_planes);
    kernels.def("join_planes", &join_planes);
    kernels.def("clear_unmasked", &clear_unmasked);
    kernels.def("f16_to_f32", [](const std::string& isa, const Bytes8& half) { return widen(isa, half, false); });
    kernels.def("bf16_to_f32", [](const std::string& isa, const Bytes8& half) { return widen(isa, half, true); });
}

}  // namespace bitpress::bind
