// Which rows of a chunk share a table: rows of alike cost under one table at first; then neighbours are merged as long
// as that saves bits, and each row goes to the table under which it takes least (k-means, its distance a code length).
#include "codings/row_groups.h"

namespace bitpress {
namespace {

constexpr std::size_t least_chunk = 65536;  // below it making tables takes too long beside decoding
constexpr unsigned rounds = 2;              // of rows that go to the best table
constexpr unsigned steps_a_bit = 64;        // of a row's mean cost
constexpr unsigned means = rans_sum_log * steps_a_bit + 1;
constexpr std::uint64_t table_price = 64 * rans_byte_cost;  // beside its bytes: for the time that making it takes
constexpr std::uint32_t absent_cost = 20 << 16;             // of a symbol that a table lacks

std::uint32_t symbol_cost(const RansFrequencies& frequencies, unsigned symbol) noexcept {
    const unsigned f = frequencies.of[symbol];
    return f == 0 ? absent_cost : (rans_sum_log << 16) - rans_log2(f);
}

// Rows of about equal mean cost together, each class about as many bytes. Returns how many classes there may be.
unsigned sort_rows(Bytes chunk, const RansModel& plain, RowGroups* groups) noexcept {
    const ChunkRows& rows = groups->rows;
    std::uint32_t cost[256];
    for (unsigned s = 0; s < 256; ++s) cost[s] = symbol_cost(plain.frequencies, s);
    std::size_t before[means] = {};  // bytes of rows of each mean, then of all lower ones
    for (std::size_t i = 0; i < rows.count(); ++i) {
        std::uint64_t sum = 0;
        for (std::size_t k = rows.begin(i); k < rows.end(i); ++k) sum += cost[chunk[k]];
        const std::size_t bytes = rows.end(i) - rows.begin(i);
        groups->mean()[i] = static_cast<std::uint16_t>(sum / (bytes * (65536 / steps_a_bit)));
        before[groups->mean()[i]] += bytes;
    }
    std::size_t total = 0;
    for (std::size_t& bytes : before) {
        const std::size_t here = bytes;
        bytes = total;
        total += here;
    }
    for (std::size_t i = 0; i < rows.count(); ++i) {
        groups->map()[i] = static_cast<std::uint8_t>(rows_max_tables * before[groups->mean()[i]] / chunk.size());
    }
    return rows_max_tables;
}

// Counts of each group by the map, and how many rows each has; groups without rows are closed up.
void count_groups(Bytes chunk, unsigned tables, RowGroups* groups, std::size_t row_count[rows_max_tables]) noexcept {
    const ChunkRows& rows = groups->rows;
    std::memset(row_count, 0, rows_max_tables * sizeof *row_count);
    for (std::size_t i = 0; i < rows.count(); ++i) ++row_count[groups->map()[i]];
    std::uint8_t name[rows_max_tables];
    groups->tables = 0;
    for (unsigned t = 0; t < tables; ++t) {
        if (row_count[t] == 0) continue;
        row_count[groups->tables] = row_count[t];
        name[t] = static_cast<std::uint8_t>(groups->tables++);
    }
    for (unsigned t = 0; t < groups->tables; ++t)
        std::memset(groups->model[t].counts, 0, sizeof groups->model[t].counts);
    for (std::size_t i = 0; i < rows.count(); ++i) {
        groups->map()[i] = name[groups->map()[i]];
        std::uint64_t* const counts = groups->model[groups->map()[i]].counts;
        for (std::size_t k = rows.begin(i); k < rows.end(i); ++k) ++counts[chunk[k]];
    }
    for (unsigned t = 0; t < groups->tables; ++t) make_rans_model(&groups->model[t]);
}

// count * log2(count): what a group's share of the map saves.
std::uint64_t map_saving(std::size_t count) noexcept {
    return count * std::uint64_t{rans_log2(static_cast<unsigned>(count))};
}

// Merges neighbours, the pair that saves most first, while that saves anything.
void merge_groups(RowGroups* groups, std::size_t row_count[rows_max_tables]) noexcept {
    std::int64_t more[rows_max_tables];  // what it takes to merge group t with t + 1
    const auto price = [&](unsigned t) noexcept {
        const RansModel& a = groups->model[t];
        const RansModel& b = groups->model[t + 1];
        for (unsigned s = 0; s < 256; ++s) groups->joint.counts[s] = a.counts[s] + b.counts[s];
        make_rans_model(&groups->joint);
        const std::uint64_t apart = a.whole_cost() + b.whole_cost() + table_price +
                                    map_saving(row_count[t] + row_count[t + 1]) - map_saving(row_count[t]) -
                                    map_saving(row_count[t + 1]);
        more[t] = static_cast<std::int64_t>(groups->joint.whole_cost() - apart);
    };
    std::uint8_t name[rows_max_tables];
    for (unsigned t = 0; t < groups->tables; ++t) name[t] = static_cast<std::uint8_t>(t);
    const unsigned before = groups->tables;
    for (unsigned t = 0; t + 1 < groups->tables; ++t) price(t);
    while (groups->tables > 1) {
        unsigned best = 0;
        for (unsigned t = 1; t + 1 < groups->tables; ++t) best = more[t] < more[best] ? t : best;
        if (more[best] > 0) break;
        price(best);  // the joint model
        groups->model[best] = groups->joint;
        row_count[best] += row_count[best + 1];
        --groups->tables;
        for (unsigned t = best + 1; t < groups->tables; ++t) {
            groups->model[t] = groups->model[t + 1];
            row_count[t] = row_count[t + 1];
            more[t] = more[t + 1];
        }
        for (unsigned t = 0; t < before; ++t)
            name[t] = static_cast<std::uint8_t>(name[t] > best ? name[t] - 1 : name[t]);
        if (best > 0) price(best - 1);
        if (best + 1 < groups->tables) price(best);
    }
    for (std::size_t i = 0; i < groups->rows.count(); ++i) groups->map()[i] = name[groups->map()[i]];
}

// Each row to the table under which it takes least, of equal ones the first.
void assign_rows(Bytes chunk, RowGroups* groups) noexcept {
    std::uint32_t cost[256][rows_max_tables];  // in 2^-7 bits, so that a row of 2^20 bytes stays below 2^32
    for (unsigned s = 0; s < 256; ++s) {
        for (unsigned t = 0; t < rows_max_tables; ++t) {
            cost[s][t] = t < groups->tables ? symbol_cost(groups->model[t].frequencies, s) >> 9 : absent_cost >> 9;
        }
    }
    const ChunkRows& rows = groups->rows;
    for (std::size_t i = 0; i < rows.count(); ++i) {
        std::uint32_t sum[rows_max_tables] = {};
        for (std::size_t k = rows.begin(i); k < rows.end(i); ++k) {
            const std::uint32_t* const each = cost[chunk[k]];
            for (unsigned t = 0; t < rows_max_tables; ++t) sum[t] += each[t];
        }
        unsigned best = 0;
        for (unsigned t = 1; t < groups->tables; ++t) best = sum[t] < sum[best] ? t : best;
        groups->map()[i] = static_cast<std::uint8_t>(best);
    }
}

// Rows sorted by one number save most of what groups can save: less than half of what they must is not worth more.
bool hopeless(const RowGroups& groups, const RansModel& plain) noexcept {
    std::uint64_t whole = 0;
    for (unsigned t = 0; t < groups.tables; ++t) whole += groups.model[t].whole_cost();
    return whole + whole / (2 * rows_worth) > plain.whole_cost();
}

}  // namespace

bool group_rows(Bytes chunk, const RansModel& plain, RowGroups* groups) noexcept {
    const std::size_t count = groups->rows.count();
    if (count < 4 || chunk.size() < least_chunk) return false;
    unsigned tables = sort_rows(chunk, plain, groups);
    std::size_t row_count[rows_max_tables];
    for (unsigned round = 0; round <= rounds; ++round) {
        if (round > 0) assign_rows(chunk, groups);
        count_groups(chunk, tables, groups, row_count);
        merge_groups(groups, row_count);
        tables = groups->tables;
        if (tables < 2 || (round == 0 && hopeless(*groups, plain))) return false;
    }
    RansModel& map = groups->map_model;
    std::memset(map.counts, 0, sizeof map.counts);
    for (unsigned t = 0; t < tables; ++t) map.counts[t] = row_count[t];
    make_rans_model(&map);
    std::uint8_t head[rows_max_head];
    groups->cost = map.cost;
    groups->whole = map.whole_cost() + write_rows_head(tables, groups->rows, head) * rans_byte_cost;
    for (unsigned t = 0; t < tables; ++t) {
        groups->cost += groups->model[t].cost;
        groups->whole += groups->model[t].whole_cost();
    }
    return true;
}

std::size_t gather_rows(Bytes chunk, const RowGroups& groups, unsigned table, std::uint8_t* out) noexcept {
    const ChunkRows& rows = groups.rows;
    const std::uint8_t* const map = groups.map();
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < rows.count(); ++i) {
        if (map[i] != table) continue;
        const std::size_t size = rows.end(i) - rows.begin(i);
        std::memcpy(out + bytes, chunk.data() + rows.begin(i), size);
        bytes += size;
    }
    return bytes;
}

}  // namespace bitpress
