// The states and words of a rANS chunk: one sequence of symbols after the other, each with a table of its own.
#pragma once

#include "codings/rans_model.h"

namespace bitpress {

inline constexpr std::uint32_t rans_lowest_state = 1u << 16;
inline constexpr unsigned rans_max_states = 128;
inline constexpr unsigned rans_states_of_log[4] = {1, 8, 32, rans_max_states};

// Reads sequences in the order in which they were told; each begins with state 0.
class RansReader {
  public:
    // payload: the states, then the words.
    Status open(Bytes payload, unsigned streams_log) noexcept;
    // Decodes out.size() symbols. A sequence may be read in pieces of whole multiples of rans_max_states.
    Status read(const RansTable& table, MutableBytes out) noexcept;
    // That all ends where it must.
    Status close() const noexcept;

  private:
    Status read_rounds(const RansTable& table, std::uint32_t* x, unsigned states, std::size_t rounds,
                       std::uint8_t* out) noexcept;

    std::uint32_t x_[rans_max_states];
    unsigned states_ = 0;
    Bytes words_;
};

// Writes sequences, the last first, downwards from the end of a buffer. Once it has failed, for want of room, it stays
// so.
class RansWriter {
  public:
    RansWriter(MutableBytes buffer, unsigned streams_log) noexcept;
    void write(const RansEncodeTable& table, Bytes symbols) noexcept;
    // Puts the states in front. Returns what was written, the buffer's end; empty where it did not fit.
    Bytes finish() noexcept;

  private:
    std::uint32_t x_[rans_max_states];
    unsigned states_;
    const std::uint8_t* begin_;
    std::uint8_t* end_;
    std::uint8_t* at_;  // null after a failure
};

}  // namespace bitpress
