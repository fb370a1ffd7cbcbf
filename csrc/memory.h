// Hands out the caller's memory, piece after piece; or, without memory, only counts.
#pragma once

#include <new>  // placement only

#include "bytes.h"
#include "status.h"

namespace bitpress {

inline constexpr std::uint64_t memory_alignment = 64;

// The part of `memory` that begins at a multiple of 64; empty where there is none.
inline MutableBytes aligned(MutableBytes memory) noexcept {
    const std::uintptr_t address = reinterpret_cast<std::uintptr_t>(memory.data());
    const std::size_t skip = (memory_alignment - address % memory_alignment) % memory_alignment;
    return skip > memory.size() ? MutableBytes{} : memory.subspan(skip);
}

inline std::uint64_t to_alignment(std::uint64_t bytes) noexcept {
    return (bytes + memory_alignment - 1) / memory_alignment * memory_alignment;
}

class Memory {
  public:
    Memory() noexcept : counting_(true) {}
    explicit Memory(MutableBytes memory) noexcept : memory_(aligned(memory)), counting_(false) {}

    bool counting() const noexcept { return counting_; }
    // What must be given for all of this to fit, at any alignment.
    std::uint64_t needed() const noexcept { return used_ + memory_alignment - 1; }

    // `bytes` at a multiple of 64. *out is null while counting.
    Status take(std::uint64_t bytes, std::uint8_t** out) noexcept {
        std::uint64_t end = 0;
        const std::uint64_t begin = (used_ + memory_alignment - 1) / memory_alignment * memory_alignment;
        constexpr std::uint64_t most = std::uint64_t{1} << 62;  // so that rounding up cannot wrap
        if (!checked_add(begin, bytes, &end) || end > most) return Status::too_large;
        used_ = end;
        *out = nullptr;
        if (counting_) return Status::ok;
        if (end > memory_.size()) return Status::memory_too_small;
        *out = memory_.data() + begin;
        return Status::ok;
    }

    // `count` objects of a trivial type, each a copy of T{}; null while counting.
    template <class T>
    Status take_array(std::uint64_t count, T** out) noexcept {
        static_assert(alignof(T) <= memory_alignment);
        std::uint64_t bytes = 0;
        if (!checked_mul(count, sizeof(T), &bytes)) return Status::too_large;
        std::uint8_t* p = nullptr;
        BP_TRY(take(bytes, &p));
        *out = reinterpret_cast<T*>(p);
        if (p == nullptr) return Status::ok;
        for (std::uint64_t i = 0; i < count; ++i) ::new (static_cast<void*>(p + i * sizeof(T))) T{};
        return Status::ok;
    }

  private:
    MutableBytes memory_;
    std::uint64_t used_ = 0;
    bool counting_;
};

}  // namespace bitpress
