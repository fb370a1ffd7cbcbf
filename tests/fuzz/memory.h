// Memory of exact sizes for what one input needs, so that AddressSanitizer sees the first byte too many.
#pragma once

#include <sanitizer/asan_interface.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "bytes.h"

namespace bitpress::fuzz {

inline void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

inline bool equal(Bytes a, Bytes b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

// Where Memory takes its pieces from: one after the other, what is around them poisoned, and from the start again when
// the last one has been given back. The same few pages serve every input; malloc under AddressSanitizer gives new ones,
// which cost more to touch than most inputs to decode.
class Pool {
  public:
    static Pool& only() {
        static Pool pool;
        return pool;
    }
    std::uint8_t* take(std::size_t size) {
        require(size <= sizeof bytes_ - top_ - gap, "the pool is too small");
        std::uint8_t* const at = bytes_ + top_;
        top_ += whole(size) + gap;
        ++pieces_;
        ASAN_UNPOISON_MEMORY_REGION(at, size);
        return at;
    }
    void give(const std::uint8_t* at, std::size_t size) {
        ASAN_POISON_MEMORY_REGION(at, whole(size));
        if (--pieces_ == 0) top_ = gap;
    }

  private:
    static constexpr std::size_t gap = 512;  // more than a kernel reads at a time
    static constexpr std::size_t whole(std::size_t size) { return (size + 15) / 16 * 16; }
    Pool() { ASAN_POISON_MEMORY_REGION(bytes_, sizeof bytes_); }

    alignas(16) std::uint8_t bytes_[std::size_t{1} << 25];
    std::size_t top_ = gap, pieces_ = 0;
};

// Filled with a byte: a result must not depend on what memory held before.
class Memory {
  public:
    Memory(std::size_t size, int fill) : bytes_(Pool::only().take(size)), size_(size) {
        std::memset(bytes_, fill, size);
    }
    ~Memory() { Pool::only().give(bytes_, size_); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    MutableBytes span() const { return {bytes_, size_}; }

  private:
    std::uint8_t* bytes_;
    std::size_t size_;
};

// The same for what is made once: what one input leaves in it is the next one's old memory.
class LastingMemory {
  public:
    LastingMemory(std::size_t size, int fill) : bytes_(new std::uint8_t[size]), size_(size) {
        std::memset(bytes_.get(), fill, size);
    }
    MutableBytes span() const { return {bytes_.get(), size_}; }

  private:
    std::unique_ptr<std::uint8_t[]> bytes_;
    std::size_t size_;
};

// Two of a size that are never alike.
struct Workspaces {
    explicit Workspaces(std::size_t size) : one(size, 0), other(size, 0xA5), size(size) {}
    LastingMemory one, other;
    std::size_t size;
};

}  // namespace bitpress::fuzz
