// Codes of 1..8 bits to packed bytes and back, in either layout, for any caller; arrays in, arrays out.
#include <pybind11/numpy.h>

#include <algorithm>
#include <cstring>

#include "bind/bind.h"
#include "kernels/kernels.h"
#include "tensor.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

using Bytes8 = py::array_t<std::uint8_t, py::array::c_style>;

constexpr std::size_t block = 1024;
constexpr std::size_t block_bytes = 128;  // a bit

void check(unsigned bits) {
    if (bits < 1 || bits > 8) throw py::value_error("bits must be 1..8, not " + std::to_string(bits));
}

std::size_t size_of(std::uint64_t count, unsigned bits, bool lanes) {
    if (count >= std::uint64_t{1} << 56) throw py::value_error("too many codes");
    const std::uint64_t bytes = lanes ? (count + block - 1) / block * block_bytes * bits : packed_bytes(count, bits);
    return static_cast<std::size_t>(bytes);
}

Bytes8 pack(const Bytes8& codes, unsigned bits, bool lanes) {
    check(bits);
    const auto count = static_cast<std::size_t>(codes.size());
    Bytes8 packed(static_cast<py::ssize_t>(size_of(count, bits, lanes)));
    const std::uint8_t* from = codes.data();
    std::uint8_t* to = packed.mutable_data();
    const Kernels& k = *kernels();
    const py::gil_scoped_release unlocked;
    if (!lanes) {
        k.pack_bits(from, count, bits, to);
        return packed;
    }
    const std::size_t whole = count / block;
    k.pack_lanes(from, whole, bits, to);
    if (const std::size_t rest = count % block; rest != 0) {
        std::uint8_t last[block] = {};
        std::memcpy(last, from + whole * block, rest);
        k.pack_lanes(last, 1, bits, to + whole * block_bytes * bits);
    }
    return packed;
}

// Whole blocks straight into out, the last part of one through a buffer. unpack(packed, blocks, T*).
template <class T, class Unpack>
void unpack_lanes(const std::uint8_t* packed, std::size_t count, unsigned bits, T* out, const Unpack& unpack) {
    const std::size_t whole = count / block;
    unpack(packed, whole, out);
    if (const std::size_t rest = count % block; rest != 0) {
        T last[block];
        unpack(packed + whole * block_bytes * bits, std::size_t{1}, last);
        std::copy_n(last, rest, out + whole * block);
    }
}

// Whole groups of the plain layout by way of codes in L1. convert(codes, n, T*).
template <class T, class Convert>
void unpack_plain(const Bytes packed, std::size_t count, unsigned bits, T* out, const Convert& convert) {
    std::uint8_t codes[4 * block];
    for (std::size_t first = 0; first < count; first += sizeof codes) {
        const std::size_t n = std::min(count - first, sizeof codes);
        kernels()->unpack_bits(packed.data(), packed.size(), first, n, bits, codes);
        convert(codes, n, out + first);
    }
}

// Where `count` values go. out: a contiguous array of as many, never of another type: the caller has made sure.
template <class T>
T* checked(const Bytes8& packed, py::array_t<T, py::array::c_style>& out, unsigned bits, bool lanes) {
    check(bits);
    if (static_cast<std::size_t>(packed.size()) != size_of(static_cast<std::uint64_t>(out.size()), bits, lanes)) {
        throw py::value_error("packed bytes and codes do not fit each other");
    }
    return out.mutable_data();
}

void unpack(const Bytes8& packed, Bytes8& codes, unsigned bits, bool lanes) {
    std::uint8_t* to = checked(packed, codes, bits, lanes);
    const auto count = static_cast<std::size_t>(codes.size());
    const std::uint8_t* from = packed.data();
    const auto size = static_cast<std::size_t>(packed.size());
    const Kernels& k = *kernels();
    const py::gil_scoped_release unlocked;
    if (lanes) {
        unpack_lanes(from, count, bits, to, [&](const std::uint8_t* p, std::size_t blocks, std::uint8_t* out) {
            k.unpack_lanes(p, blocks, bits, out);
        });
    } else {
        k.unpack_bits(from, size, 0, count, bits, to);
    }
}

void unpack_signed(const Bytes8& packed, py::array_t<std::int8_t, py::array::c_style>& values, unsigned bits,
                   bool lanes, unsigned zero) {
    std::int8_t* to = checked(packed, values, bits, lanes);
    const auto count = static_cast<std::size_t>(values.size());
    const Bytes from(packed.data(), static_cast<std::size_t>(packed.size()));
    const py::gil_scoped_release unlocked;
    if (lanes) {
        unpack_lanes(from.data(), count, bits, to, [&](const std::uint8_t* p, std::size_t blocks, std::int8_t* out) {
            kernels()->unpack_lanes_s8(p, blocks, bits, zero, out);
        });
    } else {
        unpack_plain(from, count, bits, to, [&](const std::uint8_t* codes, std::size_t n, std::int8_t* out) {
            for (std::size_t i = 0; i < n; ++i) {
                out[i] = static_cast<std::int8_t>(static_cast<std::uint8_t>(codes[i] - zero));
            }
        });
    }
}

void unpack_floats(const Bytes8& packed, py::array_t<float, py::array::c_style>& values, unsigned bits, bool lanes,
                   float scale, float zero) {
    float* to = checked(packed, values, bits, lanes);
    const auto count = static_cast<std::size_t>(values.size());
    const Bytes from(packed.data(), static_cast<std::size_t>(packed.size()));
    const py::gil_scoped_release unlocked;
    if (lanes) {
        unpack_lanes(from.data(), count, bits, to, [&](const std::uint8_t* p, std::size_t blocks, float* out) {
            kernels()->unpack_lanes_f32(p, blocks, bits, scale, zero, out);
        });
    } else {
        unpack_plain(from, count, bits, to, [&](const std::uint8_t* codes, std::size_t n, float* out) {
            kernels()->dequantize(codes, n, scale, zero, out);
        });
    }
}

}  // namespace

void register_bitpack(py::module_& module) {
    module.def("bitpack", &pack, py::arg("codes"), py::arg("bits"), py::arg("lanes"));
    module.def(
        "bitpack_size",
        [](std::uint64_t count, unsigned bits, bool lanes) {
            check(bits);
            return size_of(count, bits, lanes);
        },
        py::arg("count"), py::arg("bits"), py::arg("lanes"));
    // out's type is the target's: uint8, int8 or float32; nothing is converted.
    module.def("bitunpack", &unpack, py::arg("packed").noconvert(), py::arg("out").noconvert(), py::arg("bits"),
               py::arg("lanes"));
    module.def("bitunpack_s8", &unpack_signed, py::arg("packed").noconvert(), py::arg("out").noconvert(),
               py::arg("bits"), py::arg("lanes"), py::arg("zero"));
    module.def("bitunpack_f32", &unpack_floats, py::arg("packed").noconvert(), py::arg("out").noconvert(),
               py::arg("bits"), py::arg("lanes"), py::arg("scale"), py::arg("zero"));
}

}  // namespace bitpress::bind
