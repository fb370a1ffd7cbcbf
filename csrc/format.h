// The bounds-checked reader of the container (docs/format.md). It reads bytes it was given, keeps pointers into them
// and allocates nothing.
#pragma once

#include "codings/codings.h"
#include "tensor.h"

namespace bitpress {

// A stream as it stands in the file, still coded.
struct StoredStream {
    Role role = Role::data;
    CodingId coding = CodingId::raw;
    Bytes stored;                     // true length, without padding
    std::uint64_t decoded_bytes = 0;  // what it becomes when its coding is undone
};

struct StoredTensor {
    std::span<const char> name;  // UTF-8, not terminated
    Dtype dtype = Dtype::f32;
    Shape shape;
    Scheme scheme;
    std::uint32_t first_stream = 0;
    std::uint32_t stream_count = 0;
};

enum class Check { none, full };

// An opened container. Copyable: it is a few pointers into the caller's bytes, which must outlive it.
class File {
  public:
    // Validates head and manifest entirely (every record, name, range); with Check::full also every stored checksum.
    // Time is linear in the manifest (and in the file when full).
    static Status open(Bytes file, Check check, File* out) noexcept;

    std::uint32_t tensor_count() const noexcept;
    std::uint32_t stream_count() const noexcept;
    StoredTensor tensor(std::uint32_t index) const noexcept;  // index < tensor_count()
    StoredStream stream(std::uint32_t index) const noexcept;  // index < stream_count()
    Bytes graph() const noexcept;                             // empty where the file holds no graph
    Bytes metadata() const noexcept;                          // UTF-8 JSON object, may be empty

  private:
    Bytes file_;
    Bytes manifest_;
    Bytes sections_[16];
};

}  // namespace bitpress
