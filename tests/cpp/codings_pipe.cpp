// codings_pipe NAME < data > frame: encodes standard input, checks that it decodes to the same, and writes the frame.
// Built for other machines by tests/unit/test_codings_endian.py: frames are the same bytes everywhere.
#include <cstdio>
#include <cstring>
#include <vector>

#include "codings/lzw_z.h"

#include "codings/codings.h"

using namespace bitpress;

namespace {

constexpr std::size_t most = 1 << 20;
alignas(8) std::uint8_t memory[8 << 20];

int write_out(Bytes data, Bytes frame, Bytes back) {
    if (data.size() != back.size() || std::memcmp(data.data(), back.data(), data.size()) != 0) return 1;
    return std::fwrite(frame.data(), 1, frame.size(), stdout) == frame.size() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<std::uint8_t> data(most);
    data.resize(std::fread(data.data(), 1, most, stdin));
    std::vector<std::uint8_t> back(data.size()), frame(3 * data.size() + 1000);
    const MutableBytes workspace(memory);
    std::size_t written = 0;
    if (argc != 2) return 2;
    if (std::strcmp(argv[1], "z") == 0) {
        if (lzw::z_encode(data, 16, frame, workspace, &written) != Status::ok) return 1;
        frame.resize(written);
        return lzw::z_decode(frame, back, workspace) == Status::ok ? write_out(data, frame, back) : 1;
    }
    const Coding* coder = coding(argv[1]);
    if (coder == nullptr || coder->encode(data, frame, workspace, &written) != Status::ok) return 1;
    frame.resize(written);
    return coder->decode(frame, back, workspace) == Status::ok ? write_out(data, frame, back) : 1;
}
