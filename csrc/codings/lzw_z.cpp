#include "codings/lzw_z.h"

#include "codings/frame.h"
#include "codings/lzw_codes.h"
#include "codings/lzw_dictionary.h"

namespace bitpress::lzw {
namespace {

constexpr std::uint8_t magic[2] = {0x1f, 0x9d};
constexpr std::uint8_t block_mode = 0x80;
constexpr std::uint8_t bits_mask = 0x1f;
constexpr std::uint32_t clear_code = 256;  // in block mode
constexpr std::size_t check_gap = 10000;   // input bytes between two looks at the ratio, at least

// How wide the i-th code since the last clear is: both sides count alike. Codes stand in groups of eight; when the
// width changes, what is left of a group is skipped.
class Widths {
  public:
    Widths(unsigned bits, bool block) noexcept : bits_(bits), first_(block ? clear_code + 1 : clear_code) {}

    std::uint32_t first() const noexcept { return first_; }
    std::uint32_t end() const noexcept { return 1u << bits_; }
    unsigned width() const noexcept { return width_; }

    static constexpr std::size_t never = ~std::size_t{0};
    // The first code since the last clear that is wider; never where none is.
    // Where bits is 9, the width becomes 10 when the dictionary is full: compress and gzip read it so.
    std::size_t wider_from() const noexcept {
        return width_ < (bits_ > min_bits ? bits_ : min_bits + 1) ? (std::size_t{1} << width_) - first_ + 1 : never;
    }

    void widen() noexcept { ++width_; }
    void clear() noexcept { width_ = min_bits; }

  private:
    unsigned bits_;
    std::uint32_t first_;
    unsigned width_ = min_bits;
};

// Writes codes and the zeros that fill up groups.
class GroupWriter {
  public:
    explicit GroupWriter(std::uint8_t* begin) noexcept : codes_(begin) {}

    void put(std::uint32_t code, unsigned width) noexcept {
        codes_.put(code, width);
        codes_.flush();
        position_ += width;
    }
    void end_group(unsigned width) noexcept {
        for (std::size_t left = group_end(position_, group_, width) - position_; left > 0;) {
            const unsigned step = left < 32 ? static_cast<unsigned>(left) : 32u;
            put(0, step);
            left -= step;
        }
        group_ = position_;
    }
    std::size_t bytes() const noexcept { return position_ / 8; }  // whole ones
    std::uint8_t* finish() noexcept { return codes_.finish(); }

  private:
    CodeWriter<false> codes_;
    std::size_t position_ = 0, group_ = 0;
};

// When to start anew, by Page's test (1954): once a full dictionary has made, in all since it last did as well,
// most_lost bytes more of its input than it would have at the ratio of the time when it grew.
class ClearRule {
  public:
    // How many bytes of the input must be done before clear_now is to be asked, by a full dictionary.
    std::size_t next_look() const noexcept { return grown_in_ == 0 ? 0 : in_ + check_gap; }

    // `in` bytes have become `out`.
    bool clear_now(std::size_t in, std::size_t out) noexcept {
        const std::size_t more_in = in - in_, more_out = out - out_;
        in_ = in;
        out_ = out;
        if (grown_in_ == 0) {
            grown_in_ = more_in;
            grown_out_ = more_out;
            return false;
        }
        lost_ += static_cast<std::int64_t>(more_out) -
                 static_cast<std::int64_t>(std::uint64_t{more_in} * grown_out_ / grown_in_);
        if (lost_ < 0) lost_ = 0;
        if (lost_ <= most_lost) return false;
        grown_in_ = 0;
        lost_ = 0;
        return true;
    }

  private:
    static constexpr std::int64_t most_lost = 256;

    std::size_t in_ = 0, out_ = 0;              // at the last look or clear
    std::size_t grown_in_ = 0, grown_out_ = 0;  // from the last clear to the full dictionary
    std::int64_t lost_ = 0;
};

class ZEncoder {
  public:
    ZEncoder(Bytes in, unsigned bits, MutableBytes out, ZDictionaries& dictionaries) noexcept
        : in_(in),
          out_(out.data()),
          writer_(out.data()),
          widths_(bits, true),
          growing_(dictionaries.growing),
          full_(dictionaries.full) {}

    // Returns how many bytes were written.
    std::size_t run() noexcept {
        for (std::size_t begin = 0; begin < in_.size();) {
            clear();
            begin = search(begin, true);
            // Laying a word out takes as long as some bytes are searched.
            const bool built = !cleared_ && in_.size() - begin > 2 * widths_.end() && full_.build();
            begin = built ? search_full(begin) : search(begin, false);
        }
        return static_cast<std::size_t>(writer_.finish() - out_);
    }

  private:
    void clear() noexcept {
        growing_.clear(widths_.end());
        full_.clear(widths_.end());
        widths_.clear();
        wider_from_ = widths_.wider_from();
        next_ = widths_.first();
        next_look_ = ~std::size_t{0};
        count_ = 0;
        cleared_ = false;
    }

    // The strings from `begin` on, one after another, up to a clear or the end of the input; until_full: or until the
    // dictionary is full and no code to come is wider. Returns where the next one begins.
    std::size_t search(std::size_t begin, bool until_full) noexcept {
        while (begin < in_.size() && !cleared_) {
            if (until_full && next_ == widths_.end() && wider_from_ == Widths::never) break;
            std::uint32_t string = growing_.id(in_[begin++]);
            EncodeDictionary::Place place;
            while (begin < in_.size() && growing_.extend(&string, in_[begin], &place)) ++begin;
            const std::uint32_t word = growing_.word(string);
            if (begin < in_.size() && next_ < widths_.end()) {
                full_.define(next_, word, in_[begin]);
                growing_.insert(place, next_++);
                if (next_ == widths_.end()) next_look_ = 0;
            }
            put(word, begin);
        }
        return begin;
    }

    // The same by the full dictionary, after search(begin, true).
    std::size_t search_full(std::size_t begin) noexcept {
        while (begin < in_.size() && !cleared_) {
            GroupWriter writer = writer_;  // of its own, for a compiler to keep in registers
            const unsigned width = widths_.width();
            begin = full_.strings(in_, begin, [&](std::uint32_t word, std::size_t end) noexcept {
                writer.put(word, width);
                if (end < next_look_) [[likely]]
                    return true;
                writer_ = writer;
                look(end);
                return !cleared_;
            });
            if (!cleared_) writer_ = writer;
        }
        return begin;
    }

    // The code of a string that ends before byte `end`, and what comes between it and the next one.
    void put(std::uint32_t word, std::size_t end) noexcept {
        writer_.put(word, widths_.width());
        if (++count_ >= wider_from_ || end >= next_look_) [[unlikely]]
            look(end);
    }

    void look(std::size_t end) noexcept {
        if (end == in_.size()) return;
        if (count_ == wider_from_) {
            writer_.end_group(widths_.width());
            widths_.widen();
            wider_from_ = widths_.wider_from();
        }
        if (end < next_look_) return;
        if (rule_.clear_now(end, writer_.bytes())) {
            writer_.put(clear_code, widths_.width());
            writer_.end_group(widths_.width());
            cleared_ = true;
        }
        next_look_ = rule_.next_look();
    }

    Bytes in_;
    const std::uint8_t* out_;
    GroupWriter writer_;
    Widths widths_;
    ClearRule rule_;
    EncodeDictionary& growing_;
    FullDictionary& full_;
    std::uint32_t next_ = 0;  // the word to define
    std::size_t count_ = 0;   // codes since the last clear
    std::size_t wider_from_ = 0;
    std::size_t next_look_ = 0;  // at the ratio, when so many bytes are coded
    bool cleared_ = false;
};

// Every code of a file but its head; checks how it ends.
template <class Decode>
Status read_codes(Bytes in, Decode decode, std::uint64_t* size) noexcept {
    Rules rules;
    BP_TRY(z_rules(in, &rules));
    in = in.subspan(z_head_bytes);
    Decoded result;
    BP_TRY(decode(rules, in, &result));
    *size = result.bytes;
    const std::size_t left = in.size() * 8 - result.position;
    return left == 0 || (in[in.size() - 1] >> (8 - left)) == 0 ? Status::ok : Status::corrupt;
}

}  // namespace

Status z_rules(Bytes in, Rules* rules) noexcept {
    if (in.size() < z_head_bytes) return Status::truncated;
    if (in[0] != magic[0] || in[1] != magic[1]) return Status::corrupt;
    if ((in[2] & ~(block_mode | bits_mask)) != 0) return Status::unsupported;
    const unsigned bits = in[2] & static_cast<unsigned>(bits_mask);
    if (bits < min_bits) return Status::corrupt;
    if (bits > max_bits) return Status::unsupported;
    *rules = {};
    if ((in[2] & block_mode) != 0) {
        rules->clear = clear_code;
        rules->first = clear_code + 1;
    }
    rules->last = 1u << bits;
    rules->max_width = bits > min_bits ? bits : min_bits + 1;
    rules->groups = true;
    rules->clear_first = false;
    return Status::ok;
}

std::size_t z_bound(std::size_t n) noexcept {
    // At most 16 bits a byte; at most one clear and eight filled-up groups of 16 bytes each check_gap bytes.
    return z_head_bytes + 2 * n + (n / check_gap + 1) * 160 + code_slack;
}

Status z_encode(Bytes in, unsigned bits, MutableBytes out, MutableBytes workspace, std::size_t* written) noexcept {
    if (bits < min_bits || bits > max_bits) return Status::bad_argument;
    BP_TRY(check_encode(z_bound(in.size()), in, out, workspace, z_encode_workspace));
    out[0] = magic[0];
    out[1] = magic[1];
    out[2] = static_cast<std::uint8_t>(bits | block_mode);
    ZEncoder encoder(in, bits, out.subspan(z_head_bytes), *reinterpret_cast<ZDictionaries*>(workspace.data()));
    *written = z_head_bytes + encoder.run();
    return Status::ok;
}

Status z_decoded_size(Bytes in, std::uint64_t limit, MutableBytes workspace, std::uint64_t* size) noexcept {
    BP_TRY(check_decode(0, {}, workspace, z_decode_workspace));
    DecodeDictionary& dictionary = *reinterpret_cast<DecodeDictionary*>(workspace.data());
    const auto count = [&](const Rules& rules, Bytes codes, Decoded* result) noexcept {
        return count_codes(rules, codes, limit, dictionary, result);
    };
    return read_codes(in, count, size);
}

Status z_decode(Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    BP_TRY(check_decode(out.size(), out, workspace, z_decode_workspace));
    DecodeDictionary& dictionary = *reinterpret_cast<DecodeDictionary*>(workspace.data());
    const auto decode = [&](const Rules& rules, Bytes codes, Decoded* result) noexcept {
        return decode_codes(rules, codes, out, Room::limit, dictionary, result);
    };
    std::uint64_t size = 0;
    BP_TRY(read_codes(in, decode, &size));
    return size == out.size() ? Status::ok : Status::bad_argument;
}

}  // namespace bitpress::lzw
