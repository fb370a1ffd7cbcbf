#include "codings/lzw_lanes.h"

namespace bitpress::lzw {
namespace {

constexpr std::uint32_t none = ~0u;
constexpr unsigned string_shift = 20, byte_shift = 12;
constexpr std::uint32_t word_mask = (1u << byte_shift) - 1;

std::uint32_t low_half(std::uint64_t bucket) noexcept { return static_cast<std::uint32_t>(bucket); }
std::uint32_t high_half(std::uint64_t bucket) noexcept { return static_cast<std::uint32_t>(bucket >> 32); }

// At most word_mask, the longer string's word, where the bucket has the key. None is all ones: word 4095 is never a
// string that grows.
std::uint32_t find(std::uint64_t bucket, std::uint32_t key) noexcept {
    const std::uint32_t a = low_half(bucket) ^ key, b = high_half(bucket) ^ key;
    return a < b ? a : b;
}

std::uint32_t home(std::uint32_t key) noexcept { return key * 0x9E3779B1u >> (32 - Lane::log); }

// A key that is not in its home, which is full. True: *string became the longer one; else it was added.
bool extend_beyond(Lane& lane, std::uint32_t key, std::uint32_t* string) noexcept {
    for (std::uint32_t i = home(key);;) {
        i = (i + 1) & (Lane::buckets - 1);
        std::uint64_t& bucket = lane.bucket[i];
        const std::uint32_t found = find(bucket, key);
        if (found <= word_mask) {
            *string = found << string_shift;
            return true;
        }
        if (high_half(bucket) != none) continue;
        bucket = bucket << 32 | key | lane.next;
        return false;
    }
}

// The next `steps` bytes of n lanes: none of them ends or fills its dictionary before.
template <unsigned n>
void advance(Lane* lanes, std::size_t steps) noexcept {
    const std::uint8_t* at[n];
    std::uint32_t string[n];
    std::uint64_t next[n];
    for (unsigned k = 0; k < n; ++k) {
        at[k] = lanes[k].at;
        string[k] = lanes[k].string;
        next[k] = lanes[k].next;
    }
    for (std::size_t i = 0; i < steps; ++i) {
#pragma GCC unroll 4
        for (unsigned k = 0; k < n; ++k) {
            Lane& lane = lanes[k];
            const std::uint32_t byte = at[k][i];
            const std::uint32_t key = string[k] | byte << byte_shift;
            std::uint64_t& bucket = lane.bucket[home(key)];
            const std::uint64_t before = bucket;
            const std::uint32_t found = find(before, key);
            lane.said[next[k]] = string[k];
            // All ones where the string ends. Selecting by it is no branch: which it is cannot be foretold.
            const std::uint64_t ends = std::uint64_t{0} - static_cast<std::uint64_t>(found > word_mask);
            if ((~high_half(before) & ends) != 0) [[unlikely]] {
                lane.next = static_cast<std::uint32_t>(next[k]);
                if (extend_beyond(lane, key, &string[k])) continue;
                string[k] = byte << string_shift;
                ++next[k];
                continue;
            }
            const std::uint64_t added = before << 32 | key | next[k];
            bucket = before ^ ((before ^ added) & ends);
            string[k] = (found ^ ((found ^ byte) & static_cast<std::uint32_t>(ends))) << string_shift;
            next[k] -= ends;
        }
    }
    for (unsigned k = 0; k < n; ++k) {
        lanes[k].at = at[k] + steps;
        lanes[k].string = string[k];
        lanes[k].next = static_cast<std::uint32_t>(next[k]);
    }
}

template <bool high_first>
class Encoder {
  public:
    Encoder(const Rules& rules, std::uint32_t clear_at, Piece* pieces, std::size_t count, Lane* lanes) noexcept
        : rules_(rules), clear_at_(clear_at), waiting_(pieces), end_(pieces + count), lanes_(lanes) {}

    void run() noexcept {
        while (active_ < lane_count && start(lanes_[active_])) ++active_;
        while (active_ > 0) {
            const std::size_t steps = common_steps();
            switch (active_) {
                case 1: advance<1>(lanes_, steps); break;
                case 2: advance<2>(lanes_, steps); break;
                case 3: advance<3>(lanes_, steps); break;
                default: advance<lane_count>(lanes_, steps);
            }
            for (unsigned k = active_; k-- > 0;) settle(lanes_[k]);
        }
    }

  private:
    using Writer = CodeWriter<high_first>;
    static_assert(sizeof(Writer) <= sizeof(Lane::writer));

    std::size_t common_steps() const noexcept {
        std::size_t steps = ~std::size_t{0};
        for (unsigned k = 0; k < active_; ++k) {
            const Lane& lane = lanes_[k];
            const auto bytes = static_cast<std::size_t>(lane.end - lane.at);
            const std::size_t words = clear_at_ + 1 - lane.next;
            if (bytes < steps) steps = bytes;
            if (words < steps) steps = words;
        }
        return steps;
    }

    // The next piece that has two bytes or more; shorter ones are done at once. False where there is none.
    bool start(Lane& lane) noexcept {
        for (; waiting_ != end_;) {
            Piece& piece = *waiting_++;
            lane.piece = &piece;
            lane.at = piece.in.data();
            lane.end = lane.at + piece.in.size();
            Writer writer(piece.codes.data());
            writer.put(rules_.clear, rules_.min_width);
            save(lane, writer);
            lane.next = rules_.first;
            if (!piece.in.empty()) lane.string = std::uint32_t{*lane.at++} << string_shift;
            if (lane.at == lane.end) {
                finish(lane);
                continue;
            }
            empty(lane);
            return true;
        }
        return false;
    }

    void empty(Lane& lane) noexcept {
        std::memset(lane.bucket, 0xFF, sizeof lane.bucket);
        lane.next = rules_.first;
    }

    // After a step: a full dictionary is cleared; a piece that is done makes room for the next one or the last lane.
    void settle(Lane& lane) noexcept {
        if (lane.next > clear_at_) {
            Writer writer = load(lane);
            const unsigned width = put_codes(lane, &writer);
            writer.put(rules_.clear, width);
            writer.flush();
            save(lane, writer);
            empty(lane);
        }
        if (lane.at != lane.end) return;
        finish(lane);
        if (start(lane)) return;
        if (&lane != &lanes_[--active_]) std::memcpy(&lane, &lanes_[active_], sizeof lane);
    }

    void finish(Lane& lane) noexcept {
        Writer writer = load(lane);
        if (!lane.piece->in.empty()) lane.said[lane.next++] = lane.string;
        writer.flush();
        writer.put(rules_.end, put_codes(lane, &writer));
        lane.piece->written = static_cast<std::size_t>(writer.finish() - lane.piece->codes.data());
    }

    // The codes since the last clear, flushed; the width of the one that follows.
    unsigned put_codes(const Lane& lane, Writer* writer) const noexcept {
        std::uint32_t word = rules_.first;
        for (unsigned width = rules_.min_width;; ++width) {
            // The word before which codes have this width.
            const std::uint32_t wide = (1u << width) - rules_.early + 1;
            const std::uint32_t stop = width < rules_.max_width && wide < lane.next ? wide : lane.next;
            for (; word + 4 <= stop; word += 4) {  // 48 bits and the 7 that may wait
                for (std::uint32_t i = 0; i < 4; ++i) writer->put(lane.said[word + i] >> string_shift, width);
                writer->flush();
            }
            for (; word < stop; ++word) {
                writer->put(lane.said[word] >> string_shift, width);
                writer->flush();
            }
            if (width == rules_.max_width || lane.next < wide) return width;
        }
    }

    static Writer load(const Lane& lane) noexcept {
        Writer writer(nullptr);
        std::memcpy(&writer, lane.writer, sizeof writer);
        return writer;
    }
    static void save(Lane& lane, const Writer& writer) noexcept { std::memcpy(lane.writer, &writer, sizeof writer); }

    const Rules& rules_;
    std::uint32_t clear_at_;
    Piece *waiting_, *end_;
    Lane* lanes_;
    unsigned active_ = 0;
};

}  // namespace

void encode_lanes(const Rules& rules, std::uint32_t clear_at, Piece* pieces, std::size_t count, Lane* lanes) noexcept {
    if (rules.high_first) {
        Encoder<true>(rules, clear_at, pieces, count, lanes).run();
    } else {
        Encoder<false>(rules, clear_at, pieces, count, lanes).run();
    }
}

}  // namespace bitpress::lzw
