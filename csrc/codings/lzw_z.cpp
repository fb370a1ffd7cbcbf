#include "codings/lzw_z.h"

#include "codings/bits.h"
#include "codings/frame.h"
#include "codings/lzw_dictionary.h"

namespace bitpress::lzw {
namespace {

constexpr std::uint8_t magic[2] = {0x1f, 0x9d};
constexpr std::uint8_t block_mode = 0x80;
constexpr std::uint8_t bits_mask = 0x1f;
constexpr std::uint32_t clear_code = 256;  // in block mode
constexpr std::size_t check_gap = 10000;   // input bytes between two looks at the ratio

// How wide the i-th code since the last clear is: both sides count alike. Codes stand in groups of eight; when the
// width changes, what is left of a group is skipped.
class Widths {
  public:
    Widths(unsigned bits, bool block) noexcept : bits_(bits), first_(block ? clear_code + 1 : clear_code) {}

    std::uint32_t first() const noexcept { return first_; }
    std::uint32_t end() const noexcept { return 1u << bits_; }
    unsigned width() const noexcept { return width_; }

    // Codes up to this one may come before the i-th: the last of them is being defined (KwKwK).
    std::uint32_t newest(std::size_t i) const noexcept {
        return i < end() - (first_ - 1) ? first_ - 1 + static_cast<std::uint32_t>(i) : end();
    }

    // Widens for the i-th code where it must. True where the width changed.
    // Where bits is 9, the width becomes 10 when the dictionary is full: compress and gzip read it so.
    bool widen(std::size_t i) noexcept {
        const std::uint32_t most = width_ == bits_ && bits_ > min_bits ? end() : (1u << width_) - 1;
        if (i == 0 || newest(i) <= most) return false;
        ++width_;
        return true;
    }

    void clear() noexcept { width_ = min_bits; }

  private:
    unsigned bits_;
    std::uint32_t first_;
    unsigned width_ = min_bits;
};

// Writes codes and the zeros that fill up groups.
class CodeWriter {
  public:
    CodeWriter(std::uint8_t* begin, std::uint8_t* end) noexcept : bits_(begin, end) {}

    void put(std::uint32_t code, unsigned width) noexcept {
        bits_.put(code, width);
        bits_.flush();
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
    std::uint8_t* finish() noexcept { return bits_.finish(); }

  private:
    BitWriter bits_;
    std::size_t position_ = 0, group_ = 0;
};

// compress's rule for when to start anew: the ratio is looked at every check_gap bytes while the dictionary is full,
// and where it has become worse, the dictionary is cleared.
class RatioCheck {
  public:
    bool clear_now(std::size_t in, std::size_t out) noexcept {
        if (in < next_) return false;
        next_ = in + check_gap;
        std::size_t ratio = (in << 8) / out;
        if (in > 0x7fffff) ratio = out >> 8 == 0 ? 0x7fffffff : in / (out >> 8);
        const bool worse = ratio < best_;
        best_ = worse ? 0 : ratio;
        return worse;
    }

  private:
    std::size_t next_ = check_gap, best_ = 0;
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
    return z_head_bytes + 2 * n + (n / check_gap + 1) * 160;
}

Status z_encode(Bytes in, unsigned bits, MutableBytes out, MutableBytes workspace, std::size_t* written) noexcept {
    if (bits < min_bits || bits > max_bits) return Status::bad_argument;
    BP_TRY(check_encode(z_bound(in.size()), in, out, workspace, z_encode_workspace));
    EncodeDictionary& dictionary = *reinterpret_cast<EncodeDictionary*>(workspace.data());
    dictionary.clear(1u << bits);
    out[0] = magic[0];
    out[1] = magic[1];
    out[2] = static_cast<std::uint8_t>(bits | block_mode);
    *written = z_head_bytes;
    if (in.empty()) return Status::ok;
    CodeWriter writer(out.data() + z_head_bytes, out.data() + out.size());
    Widths widths(bits, true);
    RatioCheck check;
    std::uint32_t next = widths.first();
    std::uint32_t string = dictionary.id(in[0]);
    std::size_t count = 0;  // codes since the last clear
    for (std::size_t i = 1; i < in.size(); ++i) {
        EncodeDictionary::Place place;
        if (dictionary.extend(&string, in[i], &place)) continue;
        writer.put(dictionary.word(string), widths.width());
        ++count;
        if (next < widths.end()) dictionary.insert(place, next++);
        string = dictionary.id(in[i]);
        const unsigned before = widths.width();
        if (i + 1 == in.size()) break;
        if (widths.widen(count)) {
            writer.end_group(before);
        }
        if (next == widths.end() && check.clear_now(i + 1, z_head_bytes + writer.bytes())) {
            writer.put(clear_code, widths.width());
            writer.end_group(widths.width());
            widths.clear();
            dictionary.clear(widths.end());
            next = widths.first();
            count = 0;
            string = dictionary.id(in[i]);
        }
    }
    const unsigned before = widths.width();
    if (widths.widen(count)) writer.end_group(before);
    writer.put(dictionary.word(string), widths.width());
    *written = static_cast<std::size_t>(writer.finish() - out.data());
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
