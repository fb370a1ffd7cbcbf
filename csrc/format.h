// The bounds-checked reader of the container (docs/format.md). It reads bytes it was given, keeps pointers into them
// and allocates nothing.
#pragma once

#include "codings/codings.h"
#include "codings/packed.h"
#include "tensor.h"

namespace bitpress {

// In which order codes stand in a stream of this layout.
inline Order order_of(Layout layout) noexcept {
    return layout == Layout::row_panels      ? Order::row_panels
           : layout == Layout::column_panels ? Order::column_panels
                                             : Order::elements;
}

// A stream as it stands in the file, still coded.
struct StoredStream {
    Role role = Role::data;
    CodingId coding = CodingId::raw;
    Bytes stored;                     // true length, without padding
    std::uint64_t decoded_bytes = 0;  // what it becomes when its coding is undone
    std::uint64_t frame_bytes = 0;    // what its frame decodes to: the same, or how many codes, which are then packed
    Layout layout = Layout::plain;    // how the frame stands for the decoded bytes
    unsigned code_bits = 0;           // where the layout is of codes; else 0
    std::uint64_t offset = 0;         // in the file
    std::uint32_t padding = 0;        // zero bytes that follow it, under the same checksum
    std::uint32_t tensor = 0;         // the tensor it belongs to
    std::uint64_t checksum = 0;       // XXH64 of the stored bytes with their padding
    bool large = false;               // stands in a tensor of its own, on a multiple of 64
};

struct StoredTensor {
    std::span<const char> name;  // UTF-8, not terminated
    Dtype dtype = Dtype::f32;
    Shape shape;
    Scheme scheme;
    std::uint64_t survivors = 0;  // elements stored: all of a dense tensor's
    std::uint32_t first_stream = 0;
    std::uint32_t stream_count = 0;
    bool shares = false;  // its codebook is that of the tensor `book`, which stands before it
    std::uint32_t book = 0;
    bool bounded = false;  // its elements, kept from here on, are within a bound of what they were
    bool plain = false;    // stands under its own name, dtype and shape (docs/format.md, "Names in the JSON")
};

// A tensor whose elements are held as what they differ by from a base's, which another file has: how 1, exclusive or;
// 2, difference. hash: XXH64 of the base's elements.
struct Delta {
    std::uint32_t tensor = 0;
    unsigned how = 0;
    std::uint64_t hash = 0;
};

enum class Check { none, full };

// Why a file was refused: what contradicts the page, and the tensor or stream it is about (or no_index).
struct Refusal {
    static constexpr std::uint32_t no_index = 0xFFFFFFFFU;
    const char* why = "";  // static storage
    std::uint32_t tensor = no_index;
    std::span<const char> name;  // of that tensor, in the caller's bytes; empty where it cannot be told
};

// An opened container. Copyable: it is a few pointers into the caller's bytes, which must outlive it.
class File {
  public:
    // Validates head and manifest entirely (every record, name, range); with Check::full also every stored checksum
    // and that padding is zero. Time is linear in the manifest (and in the file when full).
    // Status::resaved: another tool rewrote a bitpress file. Status::unsupported: not a bitpress file, or a newer one.
    static Status open(Bytes file, Check check, File* out, Refusal* refusal = nullptr) noexcept;

    std::uint32_t tensor_count() const noexcept { return tensor_count_; }
    std::uint32_t stream_count() const noexcept { return stream_count_; }
    StoredTensor tensor(std::uint32_t index) const noexcept;  // index < tensor_count()
    StoredStream stream(std::uint32_t index) const noexcept;  // index < stream_count()
    // The codebook of a tensor that shares another's.
    StoredStream shared_book(const StoredTensor& tensor) const noexcept;
    // The tensor of this name, in O(log tensor_count()).
    bool find(std::span<const char> name, std::uint32_t* index) const noexcept;
    // Whether a stream and its padding are what was stored, for a file opened with Check::none.
    Status check_stream(std::uint32_t index) const noexcept;
    // The same for all that is not a stream: head and manifest.
    Status check_head() const noexcept;
    std::uint32_t delta_count() const noexcept { return delta_count_; }
    Delta delta(std::uint32_t index) const noexcept;       // index < delta_count(), by rising tensors
    Bytes graph() const noexcept { return graph_; }        // empty where the file holds no graph
    Bytes metadata() const noexcept { return metadata_; }  // UTF-8 JSON object, may be empty

  private:
    struct Reader;
    struct Streams;
    Status streams_of(std::uint32_t index, const StoredTensor& tensor, Streams* out) const noexcept;
    std::uint64_t number_count() const noexcept;
    std::uint64_t number(std::uint64_t index) const noexcept;

    Bytes file_;
    Bytes manifest_;
    Bytes tensors_;
    Bytes streams_;
    Bytes numbers_;
    Bytes names_;
    Bytes metadata_;
    Bytes graph_;
    Bytes base_;
    std::uint32_t tensor_count_ = 0;
    std::uint32_t stream_count_ = 0;
    std::uint32_t delta_count_ = 0;
    bool wide_ = false;  // numbers take 8 bytes each
};

}  // namespace bitpress
