// Bytes of Python's as the codings take and give them. The GIL is held where these are made and where they end.
#pragma once

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <memory>

#include "bind/bind.h"
#include "bytes.h"

namespace bitpress::bind {

// A C-contiguous view of any object with the buffer protocol; BufferError (or TypeError) where there is none.
class Buffer {
  public:
    explicit Buffer(const pybind11::object& object, int flags = PyBUF_C_CONTIGUOUS) {
        if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) throw pybind11::error_already_set();
    }
    ~Buffer() { PyBuffer_Release(&view_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    Bytes bytes() const { return writable(); }
    // Only where the flags asked for PyBUF_WRITABLE.
    MutableBytes writable() const {
        return {static_cast<std::uint8_t*>(view_.buf), static_cast<std::size_t>(view_.len)};
    }

  private:
    Py_buffer view_{};
};

// Asks for pages of 2 MiB where much memory is new, as numpy does for its arrays: filling it costs less than the faults
// of small pages. Nothing is lost where the system does not give them.
inline void prefer_large_pages(MutableBytes memory) {
#ifdef MADV_HUGEPAGE
    constexpr std::size_t least = std::size_t{4} << 20, page = 4096;
    if (memory.size() < least) return;
    const std::size_t skip = page - reinterpret_cast<std::uintptr_t>(memory.data()) % page;
    madvise(memory.data() + skip, memory.size() - skip, MADV_HUGEPAGE);
#else
    static_cast<void>(memory);
#endif
}

// A new bytes object, to be filled while nobody else sees it.
class OutputBytes {
  public:
    explicit OutputBytes(std::uint64_t size) {
        if (size > static_cast<std::uint64_t>(PY_SSIZE_T_MAX) - 64) throw std::bad_alloc();
        object_ = PyBytes_FromStringAndSize(nullptr, static_cast<pybind11::ssize_t>(size));
        if (object_ == nullptr) throw pybind11::error_already_set();
        prefer_large_pages(bytes());
    }
    ~OutputBytes() { Py_XDECREF(object_); }
    OutputBytes(const OutputBytes&) = delete;
    OutputBytes& operator=(const OutputBytes&) = delete;
    MutableBytes bytes() const {
        return {reinterpret_cast<std::uint8_t*>(PyBytes_AS_STRING(object_)),
                static_cast<std::size_t>(PyBytes_GET_SIZE(object_))};
    }
    // The object, cut to its first `size` bytes.
    pybind11::bytes take(std::size_t size) {
        if (static_cast<pybind11::ssize_t>(size) != PyBytes_GET_SIZE(object_) &&
            _PyBytes_Resize(&object_, static_cast<pybind11::ssize_t>(size)) != 0) {
            throw pybind11::error_already_set();
        }
        PyObject* const object = object_;
        object_ = nullptr;
        return pybind11::reinterpret_steal<pybind11::bytes>(object);
    }

  private:
    PyObject* object_ = nullptr;
};

// Workspace of the caller's: new gives more than the alignment of 8 that the core asks for.
struct Workspace {
    explicit Workspace(std::size_t bytes) : memory(new std::uint8_t[bytes]), size(bytes) {}
    MutableBytes bytes() const { return {memory.get(), size}; }
    std::unique_ptr<std::uint8_t[]> memory;
    std::size_t size;
};

}  // namespace bitpress::bind
