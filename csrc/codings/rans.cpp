// rANS (Duda 2009): one range over the whole alphabet, so that a symbol may take less than a bit. 32-bit states of at
// least 2^16, renewed by 16 bits at a time, 12-bit frequencies; a chunk's symbols go round 1, 8, 32 or 128 states
// (Giesen 2014).
#include "codings/bits.h"
#include "codings/codings.h"
#include "codings/frame.h"
#include "codings/rans_model.h"
#include "kernels/kernels.h"

namespace bitpress {
namespace {

constexpr unsigned chunk_log = 20;  // 1 MiB
constexpr std::uint32_t lowest_state = 1u << 16;
constexpr unsigned max_states = 128;
constexpr unsigned states_of_log[4] = {1, 8, 32, max_states};
constexpr std::uint64_t least_for_states[4] = {0, 2048, 16384, 131072};  // coded bytes: 1.6% at most go into states

// ---- encoding

struct EncodeState {
    std::uint64_t counts[256];
    RansFrequencies shared, own;
    RansTable slots;
    RansEncodeTable symbols;
    std::uint8_t table[rans_max_table_bytes];
    std::uint8_t own_table[rans_max_table_bytes];
};

void make_symbols(const RansFrequencies& frequencies, EncodeState* state) noexcept {
    RansEncodeTable& table = state->symbols;
    std::uint64_t start = 0;
    for (unsigned s = 0; s < 256; ++s) {
        const std::uint64_t f = frequencies.of[s];
        if (f == 0) continue;
        const std::uint64_t reciprocal = f == 1 ? 0xFFFFFFFFU : (std::uint64_t{1} << 32) / f;
        table.symbol[s] = reciprocal | f << 32 | start << 48;
        start += f;
    }
    make_rans_table(frequencies, &state->slots);
    for (std::uint32_t slot = 0; slot < rans_sum; ++slot) {
        const std::uint32_t entry = state->slots.entry[slot];
        table.slot[(table.symbol[entry & 255] >> 48) + (entry >> 8) % rans_sum] = static_cast<std::uint16_t>(slot);
    }
}

void count(Bytes in, EncodeState* state) noexcept {
    std::memset(state->counts, 0, sizeof state->counts);
    kernels()->histogram(in.data(), in.size(), state->counts);
}

unsigned states_log_for(std::uint64_t coded_bytes) noexcept {
    unsigned log = 0;
    while (log < 3 && coded_bytes >= least_for_states[log + 1]) ++log;
    return log;
}

// Codes from the last symbol to the first, writing downwards from end: states and words, in the order of decoding.
// Returns where they begin; null where they would begin before `begin`.
std::uint8_t* code_symbols(Bytes chunk, const RansEncodeTable& table, unsigned states, const std::uint8_t* begin,
                           std::uint8_t* end) noexcept {
    std::uint32_t x[max_states];
    for (std::uint32_t& state : x) state = lowest_state;
    const std::size_t rounds = chunk.size() / states;
    const std::size_t whole = rounds * states;
    std::uint8_t* at = end;
    for (std::size_t k = chunk.size() - whole; k-- > 0 && at != nullptr;) {
        at = kernels()->rans_encode(&table, x + k, 1, chunk.data() + whole + k, 1, begin, at);
    }
    if (at != nullptr) at = kernels()->rans_encode(&table, x, states, chunk.data(), rounds, begin, at);
    if (at == nullptr || static_cast<std::size_t>(at - begin) < std::size_t{4} * states) return nullptr;
    for (unsigned k = states; k-- > 0;) {
        at -= 4;
        store_le(at, x[k]);
    }
    return at;
}

bool encode_chunk(void* opaque, bool may_share, Bytes chunk, MutableBytes out, ChunkEntry* entry) noexcept {
    EncodeState& state = *static_cast<EncodeState*>(opaque);
    count(chunk, &state);
    rans_frequencies(state.counts, &state.own);
    std::size_t table_bytes = write_rans_table(state.own, state.own_table);
    entry->kind = ChunkKind::coded;
    const RansFrequencies* chosen = &state.own;
    std::uint64_t cost = rans_cost(state.counts, state.own);
    const std::uint64_t shared_cost = may_share ? rans_cost(state.counts, state.shared) : 0;
    if (may_share && shared_cost <= cost + (table_bytes * 8 << 16)) {
        entry->kind = ChunkKind::coded_shared;
        chosen = &state.shared;
        cost = shared_cost;
        table_bytes = 0;
    }
    if (table_bytes > out.size()) return false;
    make_symbols(*chosen, &state);
    entry->streams_log = states_log_for(cost >> 19);
    std::uint8_t* const begin = out.data() + table_bytes;
    std::uint8_t* const end = out.data() + out.size();
    std::uint8_t* const at = code_symbols(chunk, state.symbols, states_of_log[entry->streams_log], begin, end);
    if (at == nullptr) return false;
    std::memcpy(out.data(), state.own_table, table_bytes);
    std::memmove(begin, at, static_cast<std::size_t>(end - at));
    entry->size = table_bytes + static_cast<std::size_t>(end - at);
    return true;
}

std::size_t bound(std::size_t n) noexcept { return frame_bound(n, chunk_log); }

Status encode(Bytes in, MutableBytes out, MutableBytes workspace, std::size_t* written) noexcept {
    BP_TRY(check_encode(bound(in.size()), in, out, workspace, sizeof(EncodeState)));
    EncodeState& state = *reinterpret_cast<EncodeState*>(workspace.data());
    std::size_t table_bytes = 0;
    if (in.size() > std::size_t{1} << chunk_log) {
        count(in, &state);
        unsigned distinct = 0;
        for (const std::uint64_t n : state.counts) distinct += n != 0;
        if (distinct > 1) {
            rans_frequencies(state.counts, &state.shared);
            table_bytes = write_rans_table(state.shared, state.table);
        }
    }
    encode_chunks(in, chunk_log, Bytes(state.table, table_bytes), out, &state, encode_chunk, written);
    return Status::ok;
}

// ---- decoding

struct DecodeState {
    RansTable shared, own;
    RansFrequencies frequencies;
};

Status read_table(Bytes in, DecodeState* state, RansTable* table, std::size_t* used) noexcept {
    BP_TRY(read_rans_table(in, &state->frequencies, used));
    make_rans_table(state->frequencies, table);
    return Status::ok;
}

// Decodes the symbols from `done` on, one at a time, each read checked, and that all ends where it must.
Status finish(const RansTable& table, std::uint32_t* x, unsigned states, Bytes words, std::size_t done,
              MutableBytes out) noexcept {
    std::size_t at = 0;
    for (std::size_t i = done; i < out.size(); ++i) {
        std::uint32_t& state = x[i % states];  // NOLINT(clang-analyzer-core.DivideZero): 1, 8, 32 or 128
        const std::uint32_t entry = table.entry[state % rans_sum];
        out[i] = static_cast<std::uint8_t>(entry);
        state = (entry >> 20) * (state >> rans_sum_log) + ((entry >> 8) % rans_sum);
        if (state >= lowest_state) continue;
        if (words.size() - at < 2) return Status::corrupt;
        state = state << 16 | load_le<std::uint16_t>(words.data() + at);
        at += 2;
    }
    if (at != words.size()) return Status::corrupt;
    for (unsigned k = 0; k < states; ++k) {
        if (x[k] != lowest_state) return Status::corrupt;
    }
    return Status::ok;
}

Status decode_chunk(void* opaque, bool has_table, const ChunkEntry& entry, Bytes payload, MutableBytes out) noexcept {
    DecodeState& state = *static_cast<DecodeState*>(opaque);
    const RansTable* table = &state.shared;
    if (entry.kind == ChunkKind::coded) {
        std::size_t used = 0;
        BP_TRY(read_table(payload, &state, &state.own, &used));
        payload = payload.subspan(used);
        table = &state.own;
    } else if (!has_table) {
        return Status::corrupt;
    }
    const unsigned states = states_of_log[entry.streams_log];
    if (payload.size() < std::size_t{4} * states) return Status::truncated;
    std::uint32_t x[max_states];
    for (unsigned k = 0; k < states; ++k) {
        x[k] = load_le<std::uint32_t>(payload.data() + 4 * k);
        if (x[k] < lowest_state) return Status::corrupt;
    }
    Bytes words = payload.subspan(std::size_t{4} * states);
    std::size_t done = 0;
    if (states >= 32) {
        std::size_t used = 0;
        done = states * kernels()->rans_decode(table, x, states, words.data(), words.size(), &used, out.data(),
                                               out.size() / states);
        words = words.subspan(used);
    }
    return finish(*table, x, states, words, done, out);
}

Status decode(Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    Frame frame;
    BP_TRY(open_frame(in, &frame));
    BP_TRY(check_decode(frame.decoded, out, workspace, sizeof(DecodeState)));
    DecodeState& state = *reinterpret_cast<DecodeState*>(workspace.data());
    std::size_t used = 0;
    if (frame.has_table) BP_TRY(read_table(frame.body, &state, &state.shared, &used));
    return decode_chunks(frame, frame.body.subspan(used), out, &state, decode_chunk);
}

}  // namespace

extern const Coding rans_coding{CodingId::rans,     "rans", bound, sizeof(EncodeState), sizeof(DecodeState), encode,
                                frame_decoded_size, decode};

}  // namespace bitpress
