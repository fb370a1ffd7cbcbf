// The decoder of all framings of LZW. No prefix chains: the string that is added with a code is what that code wrote
// and the byte after it, and both stand in the output, so that decoding is copying.
#include "codings/bits.h"
#include "codings/lzw_core.h"

namespace bitpress::lzw {
namespace {

constexpr std::size_t short_copy = 16;  // bytes that are always copied
constexpr std::size_t long_copy = 32;   // and at a time where a string is longer
constexpr std::size_t margin = 128;     // of the output, that the fast path leaves alone
constexpr unsigned length_bits = 16;    // no string is longer than there are words
constexpr std::size_t load_bytes = 8;

// Every byte as a string of one, and as many bytes as a copy reads beyond.
struct Literals {
    std::uint8_t byte[256 + short_copy];
    constexpr Literals() noexcept : byte() {
        for (unsigned i = 0; i < sizeof byte; ++i) byte[i] = static_cast<std::uint8_t>(i);
    }
};
constexpr Literals literal_strings;

template <std::size_t n>
inline void copy(std::uint8_t* to, const std::uint8_t* from) noexcept {
    std::uint8_t bytes[n];
    std::memcpy(bytes, from, n);
    std::memcpy(to, bytes, n);
}

inline std::uint64_t load_be(const std::uint8_t* p) noexcept { return __builtin_bswap64(load_le<std::uint64_t>(p)); }

// 57 bits or more that begin with the one at `position`, the first of them lowest (or, high_first, highest).
template <bool high_first>
std::uint64_t peek(Bytes in, std::size_t position) noexcept {
    if constexpr (!high_first) return peek_bits(in, position);
    const std::size_t byte = position >> 3;
    if (in.size() >= load_bytes && byte <= in.size() - load_bytes) return load_be(in.data() + byte) << (position & 7);
    std::uint64_t bits = 0;
    for (std::size_t i = byte; i < in.size() && i - byte < load_bytes; ++i) {
        bits |= static_cast<std::uint64_t>(in[i]) << (8 * (load_bytes - 1 - (i - byte)));
    }
    return bits << (position & 7);
}

// write: strings go to the output; else they are only counted.
template <bool high_first, bool write>
class Decoder {
  public:
    Decoder(const Rules& rules, Bytes in, std::uint8_t* out, std::uint64_t room, Room kind,
            DecodeDictionary& dictionary) noexcept
        : rules_(rules), in_(in), out_(out), room_(room), kind_(kind), string_(dictionary.string) {
        const std::uint64_t base = address(out), bytes = address(literal_strings.byte);
        // A difference of addresses has 48 bits in an entry. Where that is too few, the slow path, which does not use
        // it for single bytes, does all.
        const auto distance = static_cast<std::int64_t>(bytes - base);
        fast_ =
            distance == static_cast<std::int64_t>(static_cast<std::uint64_t>(distance) << length_bits) >> length_bits;
        for (std::uint32_t word = 0; word < rules.literals; ++word) string_[word] = entry(bytes + word - base, 1);
        for (std::uint32_t word = rules.literals; word < rules.first; ++word) string_[word] = 0;
        restart();
    }

    Status run(Decoded* result) noexcept {
        Status status = Status::ok;
        while (status == Status::ok && !finished_) {
            if (fast_) {
                if (width_ <= 14) {
                    ordinary<4>();
                } else {
                    ordinary<3>();
                }
            }
            status = step();
        }
        *result = {done_, position_, ended_};
        return status;
    }

  private:
    static std::uint64_t address(const void* p) noexcept { return reinterpret_cast<std::uintptr_t>(p); }
    static std::uint64_t entry(std::uint64_t from, std::uint64_t length) noexcept {
        return from << length_bits | length;
    }
    static std::size_t length_of(std::uint64_t entry) noexcept {
        return static_cast<std::size_t>(entry & ((1u << length_bits) - 1));
    }
    const std::uint8_t* string_of(std::uint64_t entry) const noexcept {
        const std::uint64_t from = static_cast<std::uint64_t>(static_cast<std::int64_t>(entry) >> length_bits);
        return reinterpret_cast<const std::uint8_t*>(static_cast<std::uintptr_t>(address(out_) + from));
    }

    void restart() noexcept {
        newest_ = rules_.first - 1;
        width_ = rules_.min_width;
        fresh_ = true;
    }

    // Codes of one width that are defined, not the newest and not special, `count` at a time, as long as there is more
    // than enough of input and room. What stops it is left to step().
    template <unsigned count>
    void ordinary() noexcept {
        static_assert((write ? count * short_copy : 0) + long_copy <= margin);
        if (in_.size() < load_bytes || room_ < margin || position_ >> 3 > in_.size() - load_bytes) return;
        const std::size_t last_load = in_.size() - load_bytes;
        const std::uint64_t last_done = room_ - margin;
        const unsigned width = width_;
        const std::uint32_t mask = (1u << width) - 1;
        const std::uint32_t grow = newest_ < rules_.last ? 1 : 0;
        // The newest word up to which codes have this width, and words are still defined.
        std::uint32_t most = rules_.last;
        if (width < rules_.max_width && (1u << width) - rules_.early < most) most = (1u << width) - rules_.early;
        if (grow != 0 && newest_ + count > most) return;
        if (grow == 0 && width < rules_.max_width && rules_.wider(newest_, width)) return;
        const std::uint32_t last_newest = grow != 0 ? most - count : newest_;
        std::uint32_t newest = newest_;
        std::size_t position = position_;
        std::uint64_t done = done_;
        bool going = true;
        while (going && newest <= last_newest && position >> 3 <= last_load && done <= last_done) {
            const std::uint8_t* const at = in_.data() + (position >> 3);
            std::uint64_t bits =
                high_first ? load_be(at) << (position & 7) : load_le<std::uint64_t>(at) >> (position & 7);
#pragma GCC unroll 4
            for (unsigned k = 0; k < count; ++k) {
                const std::uint32_t word = high_first ? static_cast<std::uint32_t>(bits >> (64 - width))
                                                      : static_cast<std::uint32_t>(bits) & mask;
                bits = high_first ? bits << width : bits >> width;
                if (word >= newest) {
                    going = false;
                    break;
                }
                const std::uint64_t string = string_[word];
                const std::size_t length = length_of(string);
                if (length - 1 >= short_copy) {  // 0: clear or end
                    if (length == 0 || done > last_done || length > last_done - done) {
                        going = false;
                        break;
                    }
                    if constexpr (write) copy_long(out_ + done, string_of(string), length);
                } else if constexpr (write) {
                    copy<short_copy>(out_ + done, string_of(string));
                }
                string_[newest + 1] = entry(done, length + 1);
                newest += grow;
                done += length;
                position += width;
            }
        }
        fresh_ = fresh_ && position == position_;
        newest_ = newest;
        position_ = position;
        done_ = done;
    }

    static void copy_long(std::uint8_t* to, const std::uint8_t* from, std::size_t length) noexcept {
        copy<short_copy>(to, from);
        for (std::size_t i = short_copy; i < length; i += long_copy) copy<long_copy>(to + i, from + i);
    }

    // One code of any kind, with every check.
    Status step() noexcept {
        if (kind_ != Room::limit && done_ == room_) return finish();
        const std::size_t total = in_.size() * 8;
        if (rules_.groups && total - position_ < 8) return finish();
        if (!fresh_ && rules_.wider(newest_, width_)) {
            if (rules_.groups) group_ = position_ = group_end(position_, group_, width_);
            ++width_;
        }
        if (total < width_ || position_ > total - width_) return rules_.groups ? Status::truncated : finish();
        const std::uint64_t bits = peek<high_first>(in_, position_);
        const std::uint32_t word = high_first ? static_cast<std::uint32_t>(bits >> (64 - width_))
                                              : static_cast<std::uint32_t>(bits) & ((1u << width_) - 1);
        if (word == rules_.clear && (rules_.clear_first || position_ > 0)) return clear();
        position_ += width_;
        if (word == rules_.end) {
            ended_ = true;
            return finish();
        }
        if (word >= rules_.literals && (fresh_ || word < rules_.first || word > newest_ || word >= rules_.last)) {
            return Status::corrupt;
        }
        return add(word);
    }

    Status finish() noexcept {
        finished_ = true;
        return Status::ok;
    }

    Status clear() noexcept {
        position_ += width_;
        if (rules_.groups) {
            position_ = group_end(position_, group_, width_);
            if (position_ > in_.size() * 8) position_ = in_.size() * 8;
            group_ = position_;
        }
        restart();
        return Status::ok;
    }

    // The string of a word that is defined goes out, and begins the next one.
    Status add(std::uint32_t word) noexcept {
        const std::uint64_t string = string_[word];
        const std::size_t length = length_of(string);
        std::size_t written = length;
        if (length > room_ - done_) {
            if (kind_ != Room::clipped) return write ? Status::output_too_small : Status::too_large;
            written = static_cast<std::size_t>(room_ - done_);
        }
        if constexpr (write) {
            std::uint8_t* const to = out_ + done_;
            if (word < rules_.literals) {
                *to = static_cast<std::uint8_t>(word);
            } else {
                const std::uint8_t* const from = string_of(string);
                for (std::size_t i = 0; i < written; ++i) to[i] = from[i];  // the newest one ends with its own first
            }
        }
        if (newest_ < rules_.last) string_[++newest_] = entry(done_, length + 1);
        done_ += written;
        fresh_ = false;
        return Status::ok;
    }

    const Rules& rules_;
    Bytes in_;
    std::uint8_t* out_;
    std::uint64_t room_;
    Room kind_;
    std::uint64_t* string_;
    bool fast_ = true;
    std::uint64_t done_ = 0;
    std::size_t position_ = 0, group_ = 0;  // in bits
    std::uint32_t newest_ = 0;              // the word that the next code may be at most
    unsigned width_ = 0;                    // of the last code
    bool fresh_ = true;                     // no code since the beginning or the last clear
    bool finished_ = false, ended_ = false;
};

template <bool write>
Status decode(const Rules& rules, Bytes in, std::uint8_t* out, std::uint64_t room, Room kind,
              DecodeDictionary& dictionary, Decoded* result) noexcept {
    if (rules.high_first) return Decoder<true, write>(rules, in, out, room, kind, dictionary).run(result);
    return Decoder<false, write>(rules, in, out, room, kind, dictionary).run(result);
}

}  // namespace

Status decode_codes(const Rules& rules, Bytes in, MutableBytes out, Room kind, DecodeDictionary& dictionary,
                    Decoded* result) noexcept {
    return decode<true>(rules, in, out.data(), out.size(), kind, dictionary, result);
}

Status count_codes(const Rules& rules, Bytes in, std::uint64_t limit, DecodeDictionary& dictionary,
                   Decoded* result) noexcept {
    return decode<false>(rules, in, nullptr, limit, Room::limit, dictionary, result);
}

}  // namespace bitpress::lzw
