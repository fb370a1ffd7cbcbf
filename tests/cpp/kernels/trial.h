// What the checks of kernels share: random numbers, memory with guards around it, and how a difference is told.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/kernels.h"

namespace bitpress::test {

// splitmix64.
class Random {
  public:
    explicit Random(std::uint64_t seed) noexcept : state_(seed) {}
    std::uint64_t next() noexcept;
    // 0 .. limit - 1; 0 where limit is 0.
    std::size_t below(std::size_t limit) noexcept { return limit == 0 ? 0 : static_cast<std::size_t>(next() % limit); }
    bool one_in(std::size_t n) noexcept { return below(n) == 0; }
    // Evenly from [-1, 1).
    float unit() noexcept;

  private:
    std::uint64_t state_;
};

// Pieces of memory that each end right before a page that cannot be touched, or begin right after one: a kernel that
// reads or writes beyond what it was given faults.
class Arena {
  public:
    Arena() noexcept;
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;
    ~Arena();
    void* take(std::size_t n_bytes, bool at_end) noexcept;
    void reset() noexcept { used_ = 0; }
    static constexpr std::size_t piece_bytes = std::size_t{1} << 18;

  private:
    static constexpr std::size_t pieces = 24;
    unsigned char* base_;
    std::size_t page_;
    std::size_t used_ = 0;
};

// The same output for two kernels: equal bytes before they run.
template <class T>
struct Two {
    T* plain;
    T* isa;
};

// How floats are drawn.
enum class Draw { unit, finite, any };

struct Trial {
    const Kernels& isa;
    const Kernels& plain;
    Random& random;
    Arena& arena;
    const char* kernel;

    // 0 to most, small ones and those around multiples of vectors often.
    std::size_t size(std::size_t most) const noexcept;
    template <class T>
    T* room(std::size_t n) const noexcept {
        return static_cast<T*>(arena.take(n * sizeof(T), !random.one_in(4)));
    }
    std::uint8_t* bytes(std::size_t n, std::size_t limit = 256) const noexcept;
    std::uint16_t* words(std::size_t n, std::size_t limit = 65536) const noexcept;
    // unit: from [-1, 1) times a power of ten; finite: of any size, denormals too; any: NaN and infinity among them.
    float* floats(std::size_t n, Draw draw = Draw::unit) const noexcept;
    float one_float(Draw draw) const noexcept;
    // Positive and normal.
    float scale() const noexcept;
    template <class T>
    Two<T> out(std::size_t n) const noexcept {
        const Two<T> two = {room<T>(n), room<T>(n)};
        fill(two.plain, n * sizeof(T));
        if (n != 0) std::memcpy(two.isa, two.plain, n * sizeof(T));
        return two;
    }
    // Ends the program where they differ. NaNs equal each other, whatever their bits.
    void same(const char* what, const void* plain_bytes, const void* isa_bytes, std::size_t n_bytes) const noexcept;
    void same_floats(const char* what, const float* plain_x, const float* isa_x, std::size_t n) const noexcept;
    template <class T>
    void same(const char* what, const Two<T>& two, std::size_t n) const noexcept {
        same(what, two.plain, two.isa, n * sizeof(T));
    }
    void same_number(const char* what, std::uint64_t plain_value, std::uint64_t isa_value) const noexcept;
    // |isa - wanted| <= error; where wanted is NaN, so is isa.
    void near(const char* what, double wanted, double got, double error, std::size_t i) const noexcept;
    [[noreturn]] void fail(const char* what, std::size_t i) const noexcept;

  private:
    void fill(void* p, std::size_t n_bytes) const noexcept;
};

// One check a kernel: a missing one is a link error.
#define BP_KERNEL(name, result, parameters) void check_##name(const Trial& t) noexcept;
#include "kernels/kernels.def"
#undef BP_KERNEL

}  // namespace bitpress::test
