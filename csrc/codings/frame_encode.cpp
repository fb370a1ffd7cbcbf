// How a frame is written, by one worker or by several.
#include "codings/frame.h"

namespace bitpress {
namespace {

void write_entry(std::uint8_t* p, const ChunkEntry& entry) noexcept {
    const auto value = static_cast<std::uint32_t>(entry.kind) | static_cast<std::uint32_t>(entry.streams_log) << 2 |
                       static_cast<std::uint32_t>(entry.size - 1) << 4;
    p[0] = static_cast<std::uint8_t>(value);
    p[1] = static_cast<std::uint8_t>(value >> 8);
    p[2] = static_cast<std::uint8_t>(value >> 16);
}

// True where all bytes are the first one.
bool is_fill(Bytes chunk) noexcept {
    return chunk.size() > 1 && std::memcmp(chunk.data(), chunk.data() + 1, chunk.size() - 1) == 0;
}

// A chunk's entry, and where its bytes stand.
struct Coded {
    ChunkEntry entry;
    const std::uint8_t* from;
};

// The chunk into `place`, which has as many bytes; what is not coded stays where it is.
Coded code_chunk(Bytes chunk, bool may_share, MutableBytes place, void* state, EncodeChunk encode) noexcept {
    ChunkEntry entry{ChunkKind::fill, 0, 1, 0, false};
    if (is_fill(chunk)) return {entry, chunk.data()};
    if (encode(state, may_share, chunk, place.first(chunk.size() - 1), &entry)) return {entry, place.data() + entry.at};
    return {{ChunkKind::stored, 0, chunk.size(), 0, false}, chunk.data()};
}

// The chunks of a frame as they come to stand one after the other at the front of `out`.
struct Body {
    Bytes in;
    unsigned chunk_log;
    std::uint8_t* entries;
    MutableBytes out;
    std::size_t bytes = 0;  // of the chunks that are there
    std::size_t saved = 0;  // by those that refer to the table, against stored ones

    std::size_t chunks() const noexcept { return ((in.size() - 1) >> chunk_log) + 1; }
    Bytes chunk(std::size_t i) const noexcept {
        const Bytes rest = in.subspan(i << chunk_log);
        return rest.first(rest.size() >> chunk_log == 0 ? rest.size() : std::size_t{1} << chunk_log);
    }
    // Where chunk i would stand uncoded: none before it ever reaches that.
    MutableBytes place(std::size_t i) const noexcept { return out.subspan(i << chunk_log, chunk(i).size()); }
    // The next chunk is number i.
    void append(std::size_t i, const Coded& coded) noexcept {
        const ChunkEntry& entry = coded.entry;
        std::memmove(out.data() + bytes, coded.from, entry.size);
        bytes += entry.size;
        if (entry.kind == ChunkKind::coded_shared || entry.shared) saved += chunk(i).size() - entry.size;
        write_entry(entries + i * frame_entry_bytes, entry);
    }
};

constexpr unsigned ahead = 2;            // chunks a worker that may wait to be appended
constexpr unsigned patience = 1U << 18;  // looks at whether they were
constexpr unsigned most_ahead = ahead * max_workers;

// A body that several workers write. Each takes the next chunk and codes it into a place near the end of `out`, so that
// little new memory is touched; whoever has coded one appends all that are next, unless another is at it.
class SharedBody {
  public:
    SharedBody(Body* body, bool may_share, unsigned parts, EncodeChunk encode) noexcept
        : body_(body), may_share_(may_share), encode_(encode), chunks_(body->chunks()), window_(ahead * parts) {}

    // What one worker does: until no chunk is left, or none could be taken for a while.
    void work(void* state) noexcept {
        for (std::size_t i = 0; take(&i);) {
            coded_[i % window_] = code_chunk(body_->chunk(i), may_share_, place(i), state, encode_);
            __atomic_store_n(&ready_[i % window_], i + 1, __ATOMIC_SEQ_CST);
            append_ready();
        }
    }

  private:
    // Chunk number *i is the caller's; it waits where too many wait to be appended. False where there is none.
    bool take(std::size_t* i) noexcept {
        *i = __atomic_load_n(&next_, __ATOMIC_SEQ_CST);
        for (unsigned looks = 0; *i < chunks_ && looks < patience;) {
            if (*i >= __atomic_load_n(&appended_, __ATOMIC_SEQ_CST) + window_) {
                ++looks;
                *i = __atomic_load_n(&next_, __ATOMIC_SEQ_CST);
            } else if (__atomic_compare_exchange_n(&next_, i, *i + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
                return true;
            }
        }
        return false;
    }

    // The last place is the last chunk's; the `window_` before it go round. From those chunks on each has its own, and
    // those before them end before all of these.
    MutableBytes place(std::size_t i) const noexcept {
        if (i + 1 == chunks_ || chunks_ - 1 <= window_) return body_->place(i);
        const std::size_t base = chunks_ - 1 - window_;
        return body_->place(base + (i % window_ + window_ - base % window_) % window_);
    }

    bool is_next_ready() const noexcept {
        const std::size_t i = __atomic_load_n(&appended_, __ATOMIC_SEQ_CST);
        return i < chunks_ && __atomic_load_n(&ready_[i % window_], __ATOMIC_SEQ_CST) == i + 1;
    }

    // A chunk that becomes ready while another worker appends is seen by that one: it looks again when it has let go.
    void append_ready() noexcept {
        while (is_next_ready() && __atomic_exchange_n(&appending_, 1U, __ATOMIC_SEQ_CST) == 0) {
            while (is_next_ready()) {
                const std::size_t i = __atomic_load_n(&appended_, __ATOMIC_SEQ_CST);
                body_->append(i, coded_[i % window_]);
                __atomic_store_n(&appended_, i + 1, __ATOMIC_SEQ_CST);
            }
            __atomic_store_n(&appending_, 0U, __ATOMIC_SEQ_CST);
        }
    }

    Body* body_;
    bool may_share_;
    EncodeChunk encode_;
    std::size_t chunks_;
    std::size_t window_;
    std::size_t next_ = 0;      // the first chunk that nobody has taken
    std::size_t appended_ = 0;  // chunks
    unsigned appending_ = 0;
    std::size_t ready_[most_ahead] = {};  // number of the chunk, plus 1
    Coded coded_[most_ahead];
};

void write_chunks(bool may_share, const States& states, EncodeChunk encode, Body* body) noexcept {
    const unsigned parts = part_count(*states.workers, body->chunks());
    body->bytes = body->saved = 0;
    if (parts == 1) {
        for (std::size_t i = 0; i < body->chunks(); ++i) {
            const MutableBytes place = body->out.subspan(body->bytes, body->chunk(i).size());
            body->append(i, code_chunk(body->chunk(i), may_share, place, states.first, encode));
        }
        return;
    }
    SharedBody shared(body, may_share, parts, encode);
    each_part(*states.workers, parts, [&](unsigned part) noexcept { shared.work(states.of(part)); });
}

}  // namespace

void encode_chunks(Bytes in, unsigned chunk_log, Bytes table, MutableBytes out, const States& states,
                   EncodeChunk encode, std::size_t* written, std::uint8_t table_flag) noexcept {
    std::uint8_t* const begin = out.data();
    std::size_t at = write_varint(begin, in.size());
    *written = at;
    if (in.empty()) return;
    const std::size_t head = at++;
    std::uint8_t* const entries = begin + at;
    const std::size_t chunks = ((in.size() - 1) >> chunk_log) + 1;
    at += chunks * frame_entry_bytes;
    states.copy(part_count(*states.workers, chunks));
    Body body{in, chunk_log, entries, out.subspan(at + table.size())};  // the table will most often pay
    write_chunks(!table.empty(), states, encode, &body);
    const bool has_table = body.saved > table.size();
    if (has_table) {
        std::memcpy(begin + at, table.data(), table.size());
        at += table.size();
    } else if (body.saved > 0) {
        body.out = out.subspan(at);
        write_chunks(false, states, encode, &body);
    } else if (!table.empty()) {
        std::memmove(begin + at, body.out.data(), body.bytes);
    }
    begin[head] = static_cast<std::uint8_t>((chunk_log - frame_min_chunk_log) | (has_table ? table_flag : 0u));
    *written = at + body.bytes;
}

}  // namespace bitpress
