#include "codings/rans_chunk.h"

namespace bitpress {
namespace {

constexpr std::uint64_t least_for_states[4] = {0, 2048, 16384, 131072};  // coded bytes: 1.6% at most go into states

unsigned states_log_for(std::uint64_t cost) noexcept {
    unsigned log = 0;
    while (log < 3 && cost / rans_byte_cost >= least_for_states[log + 1]) ++log;
    return log;
}

void count(Bytes symbols, RansModel* model) noexcept {
    std::memset(model->counts, 0, sizeof model->counts);
    kernels()->histogram(symbols.data(), symbols.size(), model->counts);
}

constexpr std::size_t least_for_estimate = std::size_t{1} << 19;
constexpr std::size_t block_bytes = 4096;
constexpr std::size_t sample_bytes = block_bytes / 8;

// Takes the gaps instead of the bitmap where they take less; of few survivors also where they take little more, for
// they decode faster then, and slower where there are more. Of very few survivors either takes next to nothing, and the
// gaps are far fewer symbols.
void try_gaps(std::size_t n, RansEncoder* encoder) noexcept {
    encoder->gap_bytes = kernels()->write_gaps(encoder->bitmap(), n, encoder->gap());
    count({encoder->gap(), encoder->gap_bytes}, &encoder->other_map);
    make_rans_model(&encoder->other_map);
    const std::uint64_t bitmap = encoder->map.whole_cost();
    const std::uint64_t most = encoder->survivor_bytes <= n / 256  ? bitmap + bitmap / 8
                               : encoder->survivor_bytes <= n / 12 ? bitmap + bitmap / 64
                                                                   : bitmap - bitmap / 16;
    if (encoder->other_map.whole_cost() > most) return;
    encoder->map = encoder->other_map;
    encoder->map_kind = RansMap::gaps;
}

// Gathers an eighth of the chunk; returns how many bytes.
std::size_t sample(Bytes chunk, std::uint8_t* out) noexcept {
    const std::size_t blocks = chunk.size() / block_bytes;
    for (std::size_t b = 0; b < blocks; ++b) {
        const std::size_t at = b * block_bytes + (b + b / 8) % 8 * sample_bytes;
        std::memcpy(out + b * sample_bytes, chunk.data() + at, sample_bytes);
    }
    return blocks * sample_bytes;
}

unsigned most_frequent(const std::uint64_t counts[256]) noexcept {
    unsigned most = 0;
    for (unsigned s = 1; s < 256; ++s) most = counts[s] > counts[most] ? s : most;
    return most;
}

// From the counts of a sample, the chunk's: scaled; values that are not in it are counted one by one.
void scale_counts(Bytes chunk, RansEncoder* encoder) noexcept {
    std::uint64_t* const counts = encoder->plain.counts;
    std::uint8_t unseen[32] = {};
    for (unsigned v = 0; v < 256; ++v) {
        if (counts[v] == 0) unseen[v / 8] = static_cast<std::uint8_t>(unseen[v / 8] | 1U << v % 8);
        counts[v] *= 8;
    }
    const std::size_t found = kernels()->select_bytes(chunk.data(), chunk.size(), unseen, encoder->survivor());
    kernels()->histogram(encoder->survivor(), found, counts);
}

// Where bytes other than `fill` stand, and which.
void take_survivors(Bytes chunk, unsigned fill, RansEncoder* encoder) noexcept {
    const Kernels& k = *kernels();
    encoder->fill = static_cast<std::uint8_t>(fill);
    k.mask_other(chunk.data(), chunk.size(), encoder->fill, encoder->bitmap());
    encoder->survivor_bytes = k.compress_bytes(chunk.data(), chunk.size(), encoder->bitmap(), encoder->survivor());
}

enum class Counted : std::uint8_t { estimated, exactly, by_survivors };

// Counts the chunk: a sample where it is large, no value may be half of it and no rows are to be told apart. Where one
// value seems to be half of it, only the others have to be counted.
Counted count_chunk(Bytes chunk, bool may_estimate, RansEncoder* encoder) noexcept {
    RansModel& plain = encoder->plain;
    const std::size_t sampled = sample(chunk, encoder->bitmap());  // which is not in use yet
    count({encoder->bitmap(), sampled}, &plain);
    const unsigned most = most_frequent(plain.counts);
    if (16 * plain.counts[most] < 7 * sampled) {
        const bool large = chunk.size() >= least_for_estimate && encoder->row == 0;
        if (may_estimate && large) {
            scale_counts(chunk, encoder);
            return Counted::estimated;
        }
    } else if (sampled != 0) {
        take_survivors(chunk, most, encoder);
        if (encoder->survivor_bytes < chunk.size() / 2) {
            count({encoder->survivor(), encoder->survivor_bytes}, &plain);
            plain.counts[most] = chunk.size() - encoder->survivor_bytes;
            return Counted::by_survivors;
        }
    }
    count(chunk, &plain);
    return Counted::exactly;
}

// Makes the models of a chunk that is not empty.
void analyse(Bytes chunk, bool may_estimate, RansEncoder* encoder) noexcept {
    if (may_estimate && encoder->analysed == chunk.data() && encoder->analyst == encoder) return;
    encoder->analysed = chunk.data();
    encoder->analyst = encoder;
    const Counted counted = count_chunk(chunk, may_estimate, encoder);
    encoder->estimated = counted == Counted::estimated;
    make_rans_model(&encoder->plain);
    encoder->may_group = encoder->may_split = false;
    if (encoder->estimated) return;
    const std::uint64_t* const counts = encoder->plain.counts;
    const unsigned most = most_frequent(counts);
    const std::size_t n = chunk.size();
    const auto fills = static_cast<std::size_t>(counts[most]);
    if (encoder->row != 0 && fills < n) {
        const auto offset = static_cast<std::size_t>(chunk.data() - encoder->begin);
        encoder->groups().rows = rows_at(offset, n, encoder->row);
        encoder->groups().most = most_rows(encoder->most);
        encoder->may_group = group_rows(chunk, encoder->plain, &encoder->groups());
    }
    encoder->may_split = fills >= n / 2 && fills < n;
    if (!encoder->may_split) return;
    if (counted != Counted::by_survivors) take_survivors(chunk, most, encoder);
    std::memcpy(encoder->survivors.counts, counts, sizeof encoder->survivors.counts);
    encoder->survivors.counts[most] = 0;
    make_rans_model(&encoder->survivors);
    count({encoder->bitmap(), (n + 7) / 8}, &encoder->map);
    make_rans_model(&encoder->map);
    encoder->map_kind = RansMap::bitmap;
    if (fills >= n - n / 4) try_gaps(n, encoder);
}

// How a chunk is coded, and what that costs.
struct Choice {
    bool split = false;
    bool rows = false;
    bool shared = false;
    std::uint64_t cost = 0;     // of the symbols
    std::uint64_t overall = 0;  // with what stands before them
};

Choice plain_choice(const RansEncoder& encoder, bool may_share) noexcept {
    const RansModel& plain = encoder.plain;
    const Choice own{false, false, false, plain.cost, plain.whole_cost()};
    if (!may_share || encoder.shared_split) return own;
    const std::uint64_t cost = rans_cost(plain.counts, encoder.shared[0]);
    return cost <= own.overall ? Choice{false, false, true, cost, cost} : own;
}

// Fill byte, kind, numbers of survivors and of gaps.
std::size_t write_split_head(const RansEncoder& encoder, bool shared, std::uint8_t* out) noexcept {
    out[0] = encoder.fill;
    out[1] = static_cast<std::uint8_t>(static_cast<unsigned>(encoder.map_kind) | (shared ? 2u : 0u));
    std::size_t bytes = 2 + write_varint(out + 2, encoder.survivor_bytes);
    if (encoder.map_kind == RansMap::gaps) bytes += write_varint(out + bytes, encoder.gap_bytes);
    return bytes;
}

static_assert(rans_max_front >= 2 + 2 * frame_max_varint + 2 * rans_max_table_bytes);

Choice split_choice(const RansEncoder& encoder, bool may_share) noexcept {
    std::uint8_t scratch[2 + 2 * frame_max_varint];
    const std::uint64_t head = write_split_head(encoder, false, scratch) * rans_byte_cost;
    const Choice own{true, false, false, encoder.survivors.cost + encoder.map.cost,
                     encoder.survivors.whole_cost() + encoder.map.whole_cost() + head};
    if (!may_share || !encoder.shared_split || encoder.shared_map != encoder.map_kind) return own;
    const std::uint64_t cost =
        rans_cost(encoder.survivors.counts, encoder.shared[0]) + rans_cost(encoder.map.counts, encoder.shared[1]);
    return cost + head <= own.overall ? Choice{true, false, true, cost, cost + head} : own;
}

// Without a look at rows. A split chunk decodes faster: it may take a little more.
Choice choose_one(const RansEncoder& encoder, bool may_share) noexcept {
    const Choice plain = plain_choice(encoder, may_share);
    if (!encoder.may_split) return plain;
    const Choice split = split_choice(encoder, may_share);
    return split.overall <= plain.overall + plain.overall / 128 ? split : plain;
}

Choice choose(const RansEncoder& encoder, bool may_share) noexcept {
    Choice best = choose_one(encoder, may_share);
    if (encoder.may_group && encoder.groups().whole + encoder.groups().whole / rows_worth <= best.overall) {
        best = {false, true, false, encoder.groups().cost, encoder.groups().whole};
    }
    return best;
}

const RansEncodeTable& symbols_for(const RansFrequencies& frequencies, RansEncoder* encoder) noexcept {
    RansEncodeTable& table = encoder->symbols;
    std::uint64_t start = 0;
    for (unsigned s = 0; s < 256; ++s) {
        const std::uint64_t f = frequencies.of[s];
        if (f == 0) continue;
        const std::uint64_t reciprocal = f == 1 ? 0xFFFFFFFFU : (std::uint64_t{1} << 32) / f;
        table.symbol[s] = reciprocal | f << 32 | start << 48;
        start += 2 * f;
    }
    make_rans_table(frequencies, &encoder->slots);
    table.slot[2 * rans_sum] = table.slot[2 * rans_sum + 1] = 0;
    for (std::uint32_t slot = 0; slot < rans_sum; ++slot) {
        const std::uint32_t entry = encoder->slots.entry[slot];
        const std::uint64_t at = (table.symbol[entry & 255] >> 48) + (entry >> 8) % rans_sum;
        table.slot[at] = static_cast<std::uint16_t>(slot);
        table.slot[at + (entry >> 20)] = static_cast<std::uint16_t>(slot + rans_sum);
    }
    return table;
}

// One sequence: its symbols, its model, and which of the frame's tables it may share.
void write(Bytes symbols, const RansModel& model, const RansFrequencies* shared, RansEncoder* encoder,
           RansWriter* writer) noexcept {
    writer->write(symbols_for(shared != nullptr ? *shared : model.frequencies, encoder), symbols);
}

std::size_t put_table(const RansModel& model, std::uint8_t* out) noexcept {
    std::memcpy(out, model.table, model.table_bytes);
    return model.table_bytes;
}

// All that stands before the states; returns its size.
std::size_t write_front(const RansEncoder& encoder, const Choice& choice, std::uint8_t* out) noexcept {
    if (choice.rows) {
        const RowGroups& groups = encoder.groups();
        std::size_t bytes = write_rows_head(groups.tables, groups.rows, out);
        bytes += put_table(groups.map_model, out + bytes);
        for (unsigned t = 0; t < groups.tables; ++t) bytes += put_table(groups.model[t], out + bytes);
        return bytes;
    }
    std::size_t bytes = choice.split ? write_split_head(encoder, choice.shared, out) : 0;
    if (choice.shared) return bytes;
    if (!choice.split) return put_table(encoder.plain, out);
    bytes += put_table(encoder.survivors, out + bytes);
    return bytes + put_table(encoder.map, out + bytes);
}

// The rows of each group after each other, written from the last group to the map.
void write_rows(Bytes chunk, RansEncoder* encoder, RansWriter* writer) noexcept {
    const RowGroups& groups = encoder->groups();
    std::uint8_t* const gathered = encoder->survivor();
    encoder->analysed = nullptr;  // the survivors are lost
    for (unsigned t = groups.tables; t-- > 0;) {
        write({gathered, gather_rows(chunk, groups, t, gathered)}, groups.model[t], nullptr, encoder, writer);
    }
    write({groups.map(), groups.rows.count()}, groups.map_model, nullptr, encoder, writer);
}

void write_split(Bytes chunk, const RansFrequencies* shared, RansEncoder* encoder, RansWriter* writer) noexcept {
    const Bytes map = encoder->map_kind == RansMap::bitmap ? Bytes(encoder->bitmap(), (chunk.size() + 7) / 8)
                                                           : Bytes(encoder->gap(), encoder->gap_bytes);
    write(map, encoder->map, shared != nullptr ? shared + 1 : nullptr, encoder, writer);
    write({encoder->survivor(), encoder->survivor_bytes}, encoder->survivors, shared, encoder, writer);
}

}  // namespace

void begin_rans(const std::uint8_t* input, std::size_t row, std::size_t most, RansEncoder* encoder) noexcept {
    encoder->most = most;
    encoder->analysed = nullptr;
    encoder->begin = input;
    encoder->row = whole_rows(row, rans_chunk_bytes);
    encoder->shared_split = false;
}

Bytes share_rans_tables(RansEncoder* encoder, Bytes chunk) noexcept {
    analyse(chunk, true, encoder);
    unsigned distinct = 0;
    for (const std::uint64_t n : encoder->plain.counts) distinct += n != 0;
    if (distinct < 2) return {};
    encoder->shared_split = choose_one(*encoder, false).split;
    encoder->shared_map = encoder->map_kind;
    std::size_t bytes = 0;
    if (encoder->shared_split) {
        encoder->shared[0] = encoder->survivors.frequencies;
        encoder->shared[1] = encoder->map.frequencies;
        bytes = put_table(encoder->survivors, encoder->shared_table);
        bytes += put_table(encoder->map, encoder->shared_table + bytes);
    } else {
        encoder->shared[0] = encoder->plain.frequencies;
        bytes = put_table(encoder->plain, encoder->shared_table);
    }
    return {encoder->shared_table, bytes};
}

namespace {

bool encode_analysed(RansEncoder& encoder, const Choice& choice, Bytes chunk, MutableBytes out,
                     ChunkEntry* entry) noexcept {
    std::uint8_t* const front = encoder.front;
    const std::size_t front_bytes = write_front(encoder, choice, front);
    if (front_bytes > out.size()) return false;
    const unsigned streams_log = states_log_for(choice.cost);
    RansWriter writer(out.subspan(front_bytes), streams_log);
    const RansFrequencies* const shared = choice.shared ? encoder.shared : nullptr;
    entry->kind = choice.split || choice.rows ? ChunkKind::fill
                  : choice.shared             ? ChunkKind::coded_shared
                                              : ChunkKind::coded;
    if (choice.rows) {
        write_rows(chunk, &encoder, &writer);
    } else if (choice.split) {
        write_split(chunk, shared, &encoder, &writer);
    } else {
        write(chunk, encoder.plain, shared, &encoder, &writer);
    }
    const Bytes written = writer.finish();
    if (written.empty()) return false;
    entry->at = static_cast<std::size_t>(written.data() - out.data()) - front_bytes;
    std::memcpy(out.data() + entry->at, front, front_bytes);
    entry->streams_log = streams_log;
    entry->shared = choice.shared;
    entry->size = front_bytes + written.size();
    return true;
}

}  // namespace

bool encode_rans_chunk(void* opaque, bool may_share, Bytes chunk, MutableBytes out, ChunkEntry* entry) noexcept {
    RansEncoder& encoder = *static_cast<RansEncoder*>(opaque);
    if (chunk.size() < 2) return false;
    analyse(chunk, true, &encoder);
    const Choice choice = choose(encoder, may_share);
    const bool fits = encode_analysed(encoder, choice, chunk, out, entry);
    if (!encoder.estimated) return fits;
    if (fits && entry->size * rans_byte_cost <= choice.overall + choice.overall / 64) return true;
    analyse(chunk, false, &encoder);  // the estimate was wrong
    return encode_analysed(encoder, choose(encoder, may_share), chunk, out, entry);
}

}  // namespace bitpress
