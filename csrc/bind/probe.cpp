// What this machine can do at most, by the kernels themselves: the limits that a profile is held against.
#include <string.h>

#include <chrono>
#include <memory>

#include "bind/bind.h"
#include "bind/pool.h"
#include "kernels/kernels.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

constexpr std::size_t rows = 48, columns = 64, depth = 256;  // a product whose numbers stay in the nearest caches
constexpr std::size_t memory_bytes = std::size_t{1} << 26;   // more than caches keep

struct alignas(64) Numbers {
    float a[rows * depth] = {}, b[columns * depth] = {}, c[rows * columns] = {}, scales[columns] = {};
    std::int16_t a16[rows * depth] = {}, b16[columns * depth] = {};
    std::int8_t a8[columns * depth] = {};
    std::uint8_t b8[columns * depth] = {};
    std::int32_t sums[columns] = {}, zeros[columns] = {};
};

// Units a second where body(part) does `units` of them on each worker at once: the most of some tries.
template <class Body>
double most(const Workers& workers, double units, const Body& body) {
    double best = 0;
    for (int i = 0; i < 12; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        each_part(workers, workers.count, body);
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        const double rate = units * workers.count / seconds;
        best = rate > best ? rate : best;
    }
    return best;
}

struct Rates {
    double f32, s16, s8, memory;
};

Rates measure(const Workers& workers, Numbers* numbers, std::uint8_t* memory) {
    const Kernels& k = *kernels();
    constexpr int times = 40;
    constexpr double work = 2.0 * times * rows * columns * depth;
    Rates rates = {};
    rates.f32 = most(workers, work, [&](unsigned part) noexcept {
        Numbers& n = numbers[part];
        for (int i = 0; i < times; ++i) k.gemm_f32(rows, columns, depth, n.a, depth, n.b, nullptr, n.c, columns, -1, 1);
    });
    rates.s16 = most(workers, work, [&](unsigned part) noexcept {
        Numbers& n = numbers[part];
        for (int i = 0; i < times; ++i) {
            k.gemm_s16(rows, columns, depth / 2, n.a16, depth, n.b16, n.scales, n.scales, nullptr, n.c, columns, -1, 1);
        }
    });
    rates.s8 = most(workers, work, [&](unsigned part) noexcept {
        Numbers& n = numbers[part];
        for (int i = 0; i < times; ++i) {
            if (multiplies_codes(k)) {
                k.gemm_codes_s8(rows, columns, depth / 4, n.b8, depth, 128, n.a8, n.sums, n.scales, n.scales, nullptr,
                                n.c, columns, -1, 1);
                continue;
            }
            k.gemm_u8s8(rows, columns, depth / 4, 4, n.a8, depth, n.sums, n.b8, n.zeros, n.scales, n.scales, nullptr,
                        n.c, columns, -1, 1);
        }
    });
    const std::size_t half = memory_bytes / 2 / workers.count;  // read there, written here
    rates.memory = most(workers, 2.0 * static_cast<double>(half), [&](unsigned part) noexcept {
        memcpy(memory + 2 * half * part, memory + 2 * half * part + half, half);
    });
    return rates;
}

// Operations a second of each kind of product (two a multiply-add), and bytes a second from and to memory.
py::dict probe(unsigned threads) {
    Pool pool(threads);
    const auto numbers = std::make_unique<Numbers[]>(pool.count());
    const auto memory = std::make_unique<std::uint8_t[]>(memory_bytes);
    Rates rates;
    {
        const py::gil_scoped_release unlocked;
        rates = measure(pool.workers(), numbers.get(), memory.get());
    }
    py::dict result;
    result["f32"] = rates.f32;
    result["s16"] = rates.s16;
    result["s8"] = rates.s8;
    result["memory"] = rates.memory;
    return result;
}

}  // namespace

void register_probe(py::module_& module) { module.def("probe", &probe, py::arg("threads")); }

}  // namespace bitpress::bind
