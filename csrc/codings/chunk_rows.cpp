#include "codings/chunk_rows.h"

#include "codings/frame.h"

namespace bitpress {
namespace {

Status take_length(Bytes* in, std::uint64_t limit, std::size_t* value) noexcept {
    std::uint64_t wide = 0;
    std::size_t used = 0;
    BP_TRY(read_varint(*in, frame_max_decoded, &wide, &used));
    if (wide == 0 || wide > limit) return Status::corrupt;
    *in = in->subspan(used);
    *value = static_cast<std::size_t>(wide);
    return Status::ok;
}

}  // namespace

std::size_t whole_rows(std::size_t row, std::size_t most) noexcept {
    return row == 0 || row > most ? 0 : row * ((rows_least + row - 1) / row);
}

ChunkRows rows_at(std::size_t offset, std::size_t bytes, std::size_t row) noexcept {
    const std::size_t first = row - offset % row;
    return {bytes, row, first < bytes ? first : bytes};
}

std::size_t write_rows_head(unsigned tables, const ChunkRows& rows, std::uint8_t* out) noexcept {
    out[0] = static_cast<std::uint8_t>(tables);
    out[1] = rows_how;
    std::size_t bytes = 2 + write_varint(out + 2, rows.row);
    bytes += write_varint(out + bytes, rows.first);
    return bytes;
}

Status take_rows_head(Bytes* payload, std::size_t bytes, std::size_t most, unsigned* tables, ChunkRows* rows) noexcept {
    *tables = (*payload)[0];
    if (*tables < 2 || *tables > rows_max_tables || (*payload)[1] != rows_how) return Status::corrupt;
    *payload = payload->subspan(2);
    *rows = {bytes, 0, 0};
    BP_TRY(take_length(payload, most, &rows->row));
    if (rows->row < rows_least) return Status::corrupt;
    return take_length(payload, rows->row < bytes ? rows->row : bytes, &rows->first);
}

Status sum_rows(const ChunkRows& rows, const std::uint8_t* map, unsigned tables,
                std::size_t bytes[rows_max_tables]) noexcept {
    std::memset(bytes, 0, rows_max_tables * sizeof *bytes);
    const std::size_t count = rows.count();
    for (std::size_t i = 0; i < count; ++i) {
        if (map[i] >= tables) return Status::corrupt;
        bytes[map[i]] += rows.end(i) - rows.begin(i);
    }
    return Status::ok;
}

RowBytes RowBytes::take(std::size_t bytes) noexcept {
    RowBytes front = *this;
    front.left_ = bytes;
    while (bytes != 0) {
        const std::size_t n = run() < bytes ? run() : bytes;
        skip(n);
        bytes -= n;
    }
    return front;
}

std::size_t RowBytes::run() noexcept {
    if (at_ == end_ && left_ != 0) {  // then there is a row
        while (map_[row_] != table_) ++row_;
        at_ = rows_->begin(row_);
        while (row_ + 1 < count_ && map_[row_ + 1] == table_) ++row_;
        end_ = rows_->end(row_);
        ++row_;
    }
    return end_ - at_ < left_ ? end_ - at_ : left_;
}

bool RowBytes::put(Bytes piece, const CodeRoom& out) noexcept {
    while (!piece.empty()) {
        const std::size_t n = run() < piece.size() ? run() : piece.size();
        if (!out.put(at_, piece.first(n))) return false;
        skip(n);
        piece = piece.subspan(n);
    }
    return true;
}

}  // namespace bitpress
