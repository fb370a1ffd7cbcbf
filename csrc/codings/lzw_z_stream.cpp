#include "codings/lzw_z_stream.h"

#include "codings/bits.h"

namespace bitpress::lzw {

Status ZReader::read(Bytes in, bool last, MutableBytes out, std::size_t* used, std::size_t* written) noexcept {
    *used = *written = 0;
    while (status_ == Status::ok) {
        if (waiting_ > 0) {
            const std::size_t room = out.size() - *written;
            const std::size_t size = waiting_ < room ? waiting_ : room;
            if (size > 0) std::memcpy(out.data() + *written, string_ + (most_words - waiting_), size);
            *written += size;
            waiting_ -= size;
            if (waiting_ > 0) break;
        }
        if (ended_) break;
        if (!loaded_) {
            const bool before_a_group = opened_ && have_ == 0;
            if (before_a_group && !fresh_ && rules_.wider(newest_, width_)) ++width_;
            if (!fill(in, last, opened_ ? width_ : z_head_bytes, used)) break;
            loaded_ = true;
        }
        status_ = opened_ ? next_code() : open();
    }
    return status_;
}

// Reads on up to `wanted` bytes of the group. False: more input is needed.
bool ZReader::fill(Bytes in, bool last, std::size_t wanted, std::size_t* used) noexcept {
    const std::size_t missing = wanted - have_, there = in.size() - *used;
    const std::size_t size = missing < there ? missing : there;
    if (size > 0) std::memcpy(group_ + have_, in.data() + *used, size);
    have_ += size;
    *used += size;
    return have_ == wanted || last;
}

void ZReader::next_group() noexcept {
    have_ = position_ = 0;
    loaded_ = false;
}

Status ZReader::open() noexcept {
    BP_TRY(z_rules({group_, have_}, &rules_));
    for (std::uint32_t word = 0; word < rules_.literals; ++word) {
        length_[word] = 1;
        first_[word] = last_[word] = static_cast<std::uint8_t>(word);
    }
    newest_ = rules_.first - 1;
    opened_ = true;
    next_group();
    return Status::ok;
}

Status ZReader::next_code() noexcept {
    const std::size_t left = have_ * 8 - position_;
    if (have_ < width_ && left < 8) return finish(left);
    if (left == 0) {
        next_group();
        return Status::ok;
    }
    if (!fresh_ && rules_.wider(newest_, width_)) {
        ++width_;
        wanted_ = true;
        next_group();
        return Status::ok;
    }
    if (left < width_) return Status::truncated;
    const std::uint32_t word = static_cast<std::uint32_t>(peek_bits({group_, have_}, position_)) & ((1u << width_) - 1);
    position_ += width_;
    wanted_ = false;
    if (word != rules_.clear || !started_) return add(word);
    newest_ = rules_.first - 1;
    width_ = rules_.min_width;
    fresh_ = true;
    next_group();
    return Status::ok;
}

// The file ends `left` bits after the last code.
Status ZReader::finish(std::size_t left) noexcept {
    if (wanted_) return Status::truncated;
    if (left > 0 && group_[have_ - 1] >> (8 - left) != 0) return Status::corrupt;
    ended_ = true;
    return Status::ok;
}

// A word's string goes to string_; the string before it and the first byte of this one are a new word.
Status ZReader::add(std::uint32_t word) noexcept {
    if (word >= rules_.literals && (fresh_ || word < rules_.first || word > newest_ || word >= rules_.last)) {
        return Status::corrupt;
    }
    if (!fresh_ && newest_ < rules_.last) {
        prefix_[newest_] = static_cast<std::uint16_t>(previous_);
        length_[newest_] = static_cast<std::uint16_t>(length_[previous_] + 1);
        first_[newest_] = first_[previous_];
        last_[newest_] = word == newest_ ? first_[previous_] : first_[word];
    }
    if (newest_ < rules_.last) ++newest_;
    waiting_ = length_[word];
    previous_ = word;
    fresh_ = false;
    started_ = true;
    std::uint8_t* const begin = string_ + (most_words - waiting_);
    for (std::uint8_t* at = string_ + most_words; at != begin; word = prefix_[word]) *--at = last_[word];
    return Status::ok;
}

}  // namespace bitpress::lzw
