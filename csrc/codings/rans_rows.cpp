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

Status take_length(Bytes* in, std::uint64_t limit, std::size_t* value) noexcept {
    std::uint64_t wide = 0;
    std::size_t used = 0;
    BP_TRY(read_varint(*in, frame_max_decoded, &wide, &used));
    if (wide == 0 || wide > limit) return Status::corrupt;
    *in = in->subspan(used);
    *value = static_cast<std::size_t>(wide);
    return Status::ok;
}

// The rows of one table as one sequence.
class Rows {
  public:
    Rows(const RansRows& rows, const std::uint8_t* map, unsigned table, std::size_t bytes) noexcept
        : rows_(rows), map_(map), table_(table), count_(rows.count()), left_(bytes) {}
    std::size_t left() const noexcept { return left_; }
    // How many of the next bytes of the sequence stand side by side in the chunk, at least 1, and where: at().
    std::size_t run() noexcept {
        if (at_ == end_) next();
        return end_ - at_;
    }
    std::size_t at() const noexcept { return at_; }
    // They are in their places.
    void skip(std::size_t n) noexcept {
        at_ += n;
        left_ -= n;
    }
    // Puts the next bytes of the sequence in their places. False as for CodeRoom::put.
    bool put(Bytes piece, const CodeRoom& out) noexcept {
        while (!piece.empty()) {
            const std::size_t n = run() < piece.size() ? run() : piece.size();
            if (!out.put(at_, piece.first(n))) return false;
            skip(n);
            piece = piece.subspan(n);
        }
        return true;
    }

  private:
    // There is one, where something is left.
    void next() noexcept {
        while (map_[row_] != table_) ++row_;
        at_ = rows_.begin(row_);
        while (row_ + 1 < count_ && map_[row_ + 1] == table_) ++row_;
        end_ = rows_.end(row_);
        ++row_;
    }

    const RansRows& rows_;
    const std::uint8_t* map_;
    unsigned table_;
    std::size_t count_;
    std::size_t left_;     // bytes of the sequence
    std::size_t row_ = 0;  // the first one that was not looked at
    std::size_t at_ = 0;
    std::size_t end_ = 0;
};

constexpr std::size_t long_row = 16 * std::size_t{rans_max_states};  // where a call for each row does no harm

// Rows that are long are decoded where they stand, but for what lies across the end of one.
Status read_group(RansReader* reader, const RansTable& table, Rows* sequence, std::uint8_t* piece, std::size_t row,
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
    const unsigned tables = payload[0];
    if (tables < 2 || tables > rans_max_tables || payload[1] != rans_rows_how) return Status::corrupt;
    payload = payload.subspan(2);
    RansRows rows{out.count(), 0, 0};
    BP_TRY(take_length(&payload, std::uint64_t{1} << 20, &rows.row));
    if (rows.row < rans_least_row) return Status::corrupt;
    BP_TRY(take_length(&payload, rows.row < out.count() ? rows.row : out.count(), &rows.first));
    RansFrequencies frequencies;
    BP_TRY(take_frequencies(&payload, &frequencies));
    make_rans_table(frequencies, table);
    Bytes front = payload;
    for (unsigned t = 0; t < tables; ++t) BP_TRY(take_frequencies(&payload, &frequencies));
    RansReader reader;
    BP_TRY(reader.open(payload, streams_log));
    const std::size_t count = rows.count();
    BP_TRY(reader.read(*table, {state->map, count}));
    std::size_t bytes[rans_max_tables] = {};
    for (std::size_t i = 0; i < count; ++i) {
        if (state->map[i] >= tables) return Status::corrupt;
        bytes[state->map[i]] += rows.end(i) - rows.begin(i);
    }
    for (unsigned t = 0; t < tables; ++t) {
        BP_TRY(take_frequencies(&front, &frequencies));
        make_rans_table(frequencies, table);
        Rows sequence(rows, state->map, t, bytes[t]);
        BP_TRY(read_group(&reader, *table, &sequence, piece, rows.row, out));
    }
    return reader.close();
}

}  // namespace bitpress
