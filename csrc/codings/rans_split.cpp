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

// The same where codes are packed: survivors wait packed at the end of the room, and tiles of codes take their places
// from the front.
class PackedSpreader {
  public:
    PackedSpreader(const CodeRoom& out, std::size_t survivors, std::uint8_t fill, std::uint8_t* scratch) noexcept
        : out_(out), left_(survivors), survivors_(scratch), tile_(scratch + most), fill_(fill) {}

    static constexpr std::size_t piece = 384;  // bytes of a map at a time
    static constexpr std::size_t scratch_bytes = 2 * 8 * piece;

    Status bitmap(Bytes bits) noexcept {
        const std::size_t room = out_.count() - at_;
        const std::size_t n = room < 8 * bits.size() ? room : 8 * bits.size();
        const auto set = static_cast<std::size_t>(kernels()->count_bits(bits.data(), bits.size()));
        if (set > left_) return Status::corrupt;
        if (n % 8 != 0 && bits[n / 8] >> (n % 8) != 0) return Status::corrupt;
        out_.get(out_.count() - left_, {survivors_, set});
        left_ -= set;
        kernels()->expand_bytes(survivors_, set, bits.data(), n, fill_, tile_);
        tiled_ = n;
        return put();
    }

    Status gaps(Bytes gaps) noexcept {
        std::size_t taken = 0, ready = 0;  // survivors of the next ones that are unpacked
        for (const std::uint8_t gap : gaps) {
            if (left_ == 0 || gap > out_.count() - at_ - tiled_ - left_) return Status::corrupt;
            if (most - tiled_ <= gap) BP_TRY(put());
            std::memset(tile_ + tiled_, fill_, gap);
            tiled_ += gap;
            if (gap == rans_gap_escape) continue;
            if (taken == ready) {
                taken = 0;
                ready = left_ < gaps.size() ? left_ : gaps.size();
                out_.get(out_.count() - left_, {survivors_, ready});
            }
            tile_[tiled_++] = survivors_[taken++];
            --left_;
        }
        return put();
    }

    // After the last piece.
    Status finish() noexcept {
        if (left_ != 0) return Status::corrupt;
        std::memset(tile_, fill_, most);
        while (at_ < out_.count()) {
            tiled_ = out_.count() - at_ < most ? out_.count() - at_ : most;
            BP_TRY(put());
        }
        return Status::ok;
    }

  private:
    static constexpr std::size_t most = 8 * piece;  // codes of a tile

    // No survivor that waits stands there: there is always room for those that are left.
    Status put() noexcept {
        if (!out_.put(at_, {tile_, tiled_})) return Status::corrupt;
        at_ += tiled_;
        tiled_ = 0;
        return Status::ok;
    }

    const CodeRoom& out_;
    std::size_t left_;       // survivors that are not in a tile yet
    std::size_t at_ = 0;     // codes that are done
    std::size_t tiled_ = 0;  // and after them, in the tile
    std::uint8_t* survivors_;
    std::uint8_t* tile_;
    std::uint8_t fill_;
};
static_assert(PackedSpreader::scratch_bytes + PackedSpreader::piece <= rans_piece);

// Gives the spreader the map, piece after piece.
template <class Any>
Status spread(RansReader* reader, const RansTable& map_table, RansMap map, std::size_t map_bytes, MutableBytes piece,
              Any* spreader) noexcept {
    for (std::size_t done = 0; done < map_bytes; done += piece.size()) {
        const MutableBytes here = piece.first(map_bytes - done < piece.size() ? map_bytes - done : piece.size());
        BP_TRY(reader->read(map_table, here));
        if (map == RansMap::bitmap) {
            BP_TRY(spreader->bitmap(here));
        } else {
            if (done + here.size() == map_bytes && here.back() == rans_gap_escape) return Status::corrupt;
            BP_TRY(spreader->gaps(here));
        }
    }
    return spreader->finish();
}

}  // namespace

Status read_split(RansReader* reader, const RansTable& survivor_table, const RansTable& map_table, RansMap map,
                  std::uint8_t fill, std::size_t survivors, std::size_t map_bytes, std::uint8_t* piece,
                  const CodeRoom& out) noexcept {
    if (out.packed()) {
        for (std::size_t at = 0; at < survivors; at += rans_piece) {
            const std::size_t n = survivors - at < rans_piece ? survivors - at : rans_piece;
            BP_TRY(reader->read(survivor_table, {piece, n}));
            if (!out.put(out.count() - survivors + at, {piece, n})) return Status::corrupt;
        }
        PackedSpreader spreader(out, survivors, fill, piece);
        const MutableBytes rest(piece + PackedSpreader::scratch_bytes, PackedSpreader::piece);
        BP_TRY(spread(reader, map_table, map, map_bytes, rest, &spreader));
    } else {
        BP_TRY(reader->read(survivor_table, out.bytes().last(survivors)));
        Spreader spreader(out.bytes(), survivors, fill);
        if (map == RansMap::gaps) spreader.begin_gaps();
        BP_TRY(spread(reader, map_table, map, map_bytes, {piece, rans_piece}, &spreader));
    }
    return reader->close();
}

}  // namespace bitpress
