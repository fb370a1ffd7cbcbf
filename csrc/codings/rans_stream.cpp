#include "codings/rans_stream.h"

namespace bitpress {

Status RansReader::open(Bytes payload, unsigned streams_log) noexcept {
    states_ = rans_states_of_log[streams_log];
    if (payload.size() < std::size_t{4} * states_) return Status::truncated;
    for (unsigned k = 0; k < states_; ++k) {
        x_[k] = load_le<std::uint32_t>(payload.data() + 4 * k);
        if (x_[k] < rans_lowest_state) return Status::corrupt;
    }
    words_ = payload.subspan(std::size_t{4} * states_);
    return Status::ok;
}

Status RansReader::read_rounds(const RansTable& table, std::uint32_t* x, unsigned states, std::size_t rounds,
                               std::uint8_t* out) noexcept {
    const Kernels& k = *kernels();
    const std::size_t most = std::size_t{2} * states;  // bytes of words that a round takes
    std::size_t used = 0;
    std::size_t done = k.rans_decode(&table, x, states, words_.data(), words_.size(), &used, out, rounds);
    words_ = words_.subspan(used);
    if (done == rounds) return Status::ok;
    // Fewer than `most` are left: zeros are put after them, and no round may have taken one.
    std::uint8_t last[4 * rans_max_states] = {};
    if (!words_.empty()) std::memcpy(last, words_.data(), words_.size());
    done += k.rans_decode(&table, x, states, last, words_.size() + most, &used, out + done * states, rounds - done);
    if (done != rounds || used > words_.size()) return Status::corrupt;
    words_ = words_.subspan(used);
    return Status::ok;
}

Status RansReader::read(const RansTable& table, MutableBytes out) noexcept {
    const std::size_t rounds = out.size() / states_;
    BP_TRY(read_rounds(table, x_, states_, rounds, out.data()));
    for (std::size_t k = 0; k < out.size() % states_; ++k) {
        BP_TRY(read_rounds(table, x_ + k, 1, 1, out.data() + rounds * states_ + k));
    }
    return Status::ok;
}

Status RansReader::close() const noexcept {
    if (!words_.empty()) return Status::corrupt;
    for (unsigned k = 0; k < states_; ++k) {
        if (x_[k] != rans_lowest_state) return Status::corrupt;
    }
    return Status::ok;
}

RansWriter::RansWriter(MutableBytes buffer, unsigned streams_log) noexcept
    : states_(rans_states_of_log[streams_log]), begin_(buffer.data()), end_(buffer.data() + buffer.size()), at_(end_) {
    for (std::uint32_t& state : x_) state = rans_lowest_state;
}

void RansWriter::write(const RansEncodeTable& table, Bytes symbols) noexcept {
    const Kernels& kernel = *kernels();
    const std::size_t rounds = symbols.size() / states_;
    const std::uint8_t* const rest = symbols.data() + rounds * states_;
    for (std::size_t k = symbols.size() % states_; k-- > 0 && at_ != nullptr;) {
        at_ = kernel.rans_encode(&table, x_ + k, 1, rest + k, 1, begin_, at_);
    }
    if (at_ != nullptr) at_ = kernel.rans_encode(&table, x_, states_, symbols.data(), rounds, begin_, at_);
}

Bytes RansWriter::finish() noexcept {
    if (at_ == nullptr || static_cast<std::size_t>(at_ - begin_) < std::size_t{4} * states_) return {};
    for (unsigned k = states_; k-- > 0;) {
        at_ -= 4;
        store_le(at_, x_[k]);
    }
    return {at_, static_cast<std::size_t>(end_ - at_)};
}

}  // namespace bitpress
