// Chunks whose rows are shared out among several tables (docs/format.md, "Chunks of rows"): where rows lie, and the
// bytes of one table's rows as one sequence.
#pragma once

#include "codings/code_room.h"
#include "status.h"

namespace bitpress {

inline constexpr unsigned rows_max_tables = 8;
inline constexpr std::size_t rows_least = 64;  // bytes of a row
inline constexpr std::uint8_t rows_how = 4;    // the second byte of such a chunk

// Most rows of a chunk of at most so many bytes.
constexpr std::size_t most_rows(std::size_t chunk) noexcept { return chunk / rows_least + 1; }

// Where a chunk of `bytes` is cut: rows of `row` bytes but the first, of `first`, and the last, which has the rest.
struct ChunkRows {
    std::size_t bytes;
    std::size_t row;
    std::size_t first;  // 1..row, at most bytes

    std::size_t count() const noexcept { return 1 + (bytes - first + row - 1) / row; }
    std::size_t begin(std::size_t i) const noexcept { return i == 0 ? 0 : first + (i - 1) * row; }
    std::size_t end(std::size_t i) const noexcept {
        const std::size_t to = first + i * row;
        return to < bytes ? to : bytes;
    }
};

// Bytes of as many rows of `row` bytes together as are not too short; 0 where none are known or they are over `most`.
std::size_t whole_rows(std::size_t row, std::size_t most) noexcept;

// The rows of a chunk that begins `offset` bytes into an input of rows.
ChunkRows rows_at(std::size_t offset, std::size_t bytes, std::size_t row) noexcept;

inline constexpr std::size_t rows_max_head = 2 + 2 * 4;
// Number of tables, kind and lengths of rows; returns its size.
std::size_t write_rows_head(unsigned tables, const ChunkRows& rows, std::uint8_t* out) noexcept;
// Takes it off the front of a payload of two bytes at least; the chunk has `bytes`, a row at most `most`.
Status take_rows_head(Bytes* payload, std::size_t bytes, std::size_t most, unsigned* tables, ChunkRows* rows) noexcept;

// How many bytes the rows of each table have, `map` naming the table of each row; corrupt where there is no such table.
Status sum_rows(const ChunkRows& rows, const std::uint8_t* map, unsigned tables,
                std::size_t bytes[rows_max_tables]) noexcept;

// The rows of one table as one sequence, or a part of it.
class RowBytes {
  public:
    RowBytes() noexcept = default;
    // bytes: of all rows of the table. rows and map must outlive this.
    RowBytes(const ChunkRows& rows, const std::uint8_t* map, unsigned table, std::size_t bytes) noexcept
        : rows_(&rows), map_(map), table_(table), count_(rows.count()), left_(bytes) {}

    std::size_t left() const noexcept { return left_; }
    // The next bytes of the sequence as one of its own, which are taken away here.
    RowBytes take(std::size_t bytes) noexcept;
    // How many of the next bytes stand side by side in the chunk, at least 1 where any are left, and where: at().
    std::size_t run() noexcept;
    std::size_t at() const noexcept { return at_; }
    // They are in their places.
    void skip(std::size_t n) noexcept {
        at_ += n;
        left_ -= n;
    }
    // Puts the next bytes in their places. False as for CodeRoom::put.
    bool put(Bytes piece, const CodeRoom& out) noexcept;

  private:
    const ChunkRows* rows_ = nullptr;
    const std::uint8_t* map_ = nullptr;
    unsigned table_ = 0;
    std::size_t count_ = 0;
    std::size_t left_ = 0;
    std::size_t row_ = 0;  // the first one that was not looked at
    std::size_t at_ = 0;
    std::size_t end_ = 0;
};

}  // namespace bitpress
