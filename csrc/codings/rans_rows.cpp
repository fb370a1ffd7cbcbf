// The decoder of chunks with a table for each group of rows.
#include "codings/rans_rows.h"

#include "codings/frame.h"
#include "codings/rans_split.h"

namespace bitpress {
namespace {

Status take_frequencies(Bytes* in, RansFrequencies* frequencies) noexcept {
    std::size_t used = 0;
    BP_TRY(read_rans_table(*in, frequencies, &used));
    *in = in->subspan(used);
    return Status::ok;
}

constexpr std::size_t long_row = 16 * std::size_t{rans_max_states};  // where a call for each row does no harm

// Rows that are long are decoded where they stand, but for what lies across the end of one.
Status read_group(RansReader* reader, const RansTable& table, RowBytes* sequence, std::uint8_t* piece, std::size_t row,
                  const CodeRoom& out) noexcept {
    const bool may_stand = row >= long_row && !out.packed();
    const std::size_t most = may_stand ? rans_max_states : rans_piece;
    while (sequence->left() != 0) {
        const std::size_t direct = may_stand ? sequence->run() / rans_max_states * rans_max_states : 0;
        if (direct >= long_row) {
            BP_TRY(reader->read(table, out.bytes().subspan(sequence->at(), direct)));
            sequence->skip(direct);
        } else {
            const std::size_t n = sequence->left() < most ? sequence->left() : most;
            BP_TRY(reader->read(table, {piece, n}));
            if (!sequence->put({piece, n}, out)) return Status::corrupt;
        }
    }
    return Status::ok;
}

}  // namespace

Status read_rows(Bytes payload, unsigned streams_log, RansTable* table, std::uint8_t* piece, RansRowsState* state,
                 const CodeRoom& out) noexcept {
    unsigned tables = 0;
    ChunkRows rows{};
    BP_TRY(take_rows_head(&payload, out.count(), std::size_t{1} << 20, &tables, &rows));
    RansFrequencies frequencies;
    BP_TRY(take_frequencies(&payload, &frequencies));
    make_rans_table(frequencies, table);
    Bytes front = payload;
    for (unsigned t = 0; t < tables; ++t) BP_TRY(take_frequencies(&payload, &frequencies));
    RansReader reader;
    BP_TRY(reader.open(payload, streams_log));
    BP_TRY(reader.read(*table, {state->map, rows.count()}));
    std::size_t bytes[rows_max_tables];
    BP_TRY(sum_rows(rows, state->map, tables, bytes));
    for (unsigned t = 0; t < tables; ++t) {
        BP_TRY(take_frequencies(&front, &frequencies));
        make_rans_table(frequencies, table);
        RowBytes sequence(rows, state->map, t, bytes[t]);
        BP_TRY(read_group(&reader, *table, &sequence, piece, rows.row, out));
    }
    return reader.close();
}

}  // namespace bitpress
