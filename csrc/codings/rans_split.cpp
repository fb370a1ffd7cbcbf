#include "codings/rans_split.h"

namespace bitpress {

namespace {

// The survivors are decoded to the end of out, and spread over it from the front: as there is always room for those
// that are left, no byte is written before it was read.
class Spreader {
  public:
    Spreader(MutableBytes out, std::size_t survivors, std::uint8_t fill) noexcept
        : out_(out), left_(survivors), fill_(fill) {}

    Status bitmap(Bytes piece) noexcept {
        const std::size_t room = out_.size() - at_;
        const std::size_t n = room < 8 * piece.size() ? room : 8 * piece.size();
        const auto set = static_cast<std::size_t>(kernels()->count_bits(piece.data(), piece.size()));
        if (set > left_) return Status::corrupt;
        if (n % 8 != 0 && piece[n / 8] >> (n % 8) != 0) return Status::corrupt;
        kernels()->expand_bytes(out_.data() + (out_.size() - left_), left_, piece.data(), n, fill_, out_.data() + at_);
        at_ += n;
        left_ -= set;
        return Status::ok;
    }

    Status gaps(Bytes piece) noexcept {
        while (piece.size() >= batch && left_ >= batch && filled_ >= batch * 256 && at_ <= filled_ - batch * 256) {
            gaps_at_once(piece.data());
            piece = piece.subspan(batch);
        }
        for (const std::uint8_t gap : piece) {
            // Fill bytes, a survivor, and room for the survivors after it.
            if (left_ == 0 || gap > out_.size() - at_ - left_) return Status::corrupt;
            if (at_ + gap > filled_) std::memset(out_.data() + at_, fill_, gap);
            at_ += gap;
            if (gap == rans_gap_escape) continue;
            out_[at_++] = out_[out_.size() - left_];
            --left_;
        }
        return Status::ok;
    }

    // Before the first piece of gaps: what lies in front of the survivors is filled at once.
    void begin_gaps() noexcept {
        filled_ = out_.size() - left_;
        std::memset(out_.data(), fill_, filled_);
    }

    // After the last piece.
    Status finish() noexcept {
        if (left_ != 0) return Status::corrupt;
        std::memset(out_.data() + at_, fill_, out_.size() - at_);
        return Status::ok;
    }

  private:
    static constexpr std::size_t batch = 8;  // gaps

    // A batch of gaps that end where all is filled already.
    void gaps_at_once(const std::uint8_t* gaps) noexcept {
        const auto eight = load_le<std::uint64_t>(gaps);
        std::uint8_t* const out = out_.data();
        const std::uint8_t* from = out + (out_.size() - left_);
        std::size_t at = at_;
        const std::uint8_t fill = fill_;
        const std::uint64_t high_bits = 0x8080808080808080U;
        const bool may_escape = (((eight & ~high_bits) + (high_bits >> 7)) & eight & high_bits) != 0;
        if (!may_escape) {
            for (unsigned i = 0; i < 64; i += 8) {
                at += eight >> i & 255;
                out[at++] = *from++;
            }
        } else {
            for (unsigned i = 0; i < 64; i += 8) {
                const std::size_t gap = eight >> i & 255;
                const unsigned survives = gap == rans_gap_escape ? 0 : 1;
                at += gap;
                out[at] = survives != 0 ? *from : fill;
                at += survives;
                from += survives;
            }
        }
        left_ = static_cast<std::size_t>(out + out_.size() - from);
        at_ = at;
    }

    MutableBytes out_;
    std::size_t left_;    // survivors that are not in their places yet
    std::size_t at_ = 0;  // bytes of out that are done
    std::size_t filled_ = 0;
    std::uint8_t fill_;
};

}  // namespace

Status read_split(RansReader* reader, const RansTable& survivor_table, const RansTable& map_table, RansMap map,
                  std::uint8_t fill, std::size_t survivors, std::size_t map_bytes, std::uint8_t* piece,
                  MutableBytes out) noexcept {
    BP_TRY(reader->read(survivor_table, out.last(survivors)));
    Spreader spreader(out, survivors, fill);
    if (map == RansMap::gaps) spreader.begin_gaps();
    for (std::size_t done = 0; done < map_bytes; done += rans_piece) {
        const std::size_t n = map_bytes - done < rans_piece ? map_bytes - done : rans_piece;
        BP_TRY(reader->read(map_table, {piece, n}));
        if (map == RansMap::bitmap) {
            BP_TRY(spreader.bitmap({piece, n}));
        } else {
            if (done + n == map_bytes && piece[n - 1] == rans_gap_escape) return Status::corrupt;
            BP_TRY(spreader.gaps({piece, n}));
        }
    }
    BP_TRY(spreader.finish());
    return reader->close();
}

}  // namespace bitpress
