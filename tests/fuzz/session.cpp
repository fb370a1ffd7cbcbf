// The runtime on any bytes: opens, plans for shapes that the bytes choose, and runs, in bounded memory. A network that
// runs is run twice over arenas of different content: the outputs must be the same bits, or something was read that
// nothing had written. The mutator works inside the graph's section.
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "format.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using namespace bitpress;

constexpr std::uint64_t most_work = 1 << 18;
constexpr std::uint64_t most_arena = 1 << 20;
alignas(64) std::uint8_t model_memory[1 << 18];
alignas(64) std::uint8_t session_memory[1 << 18];
alignas(64) std::uint8_t input_memory[1 << 18];
alignas(64) std::uint8_t output_memory[2][1 << 18];

[[noreturn]] void fail() { abort(); }

// Memory for `count` values, one after the other at multiples of 64; false where it does not fit.
template <class Span, class Index>
bool place(const Session& session, std::size_t count, Index index, std::uint8_t* memory, std::size_t size, Span* out) {
    std::size_t used = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t bytes = session.value(index(i)).bytes;
        if (bytes > size - used) return false;
        out[i] = Span(memory + used, static_cast<std::size_t>(bytes));
        used += (static_cast<std::size_t>(bytes) + 63) / 64 * 64;
        if (used > size) return false;
    }
    return true;
}

void run(const Session& session) {
    const Graph& graph = session.model().graph();
    static Bytes inputs[max_node_links];
    static MutableBytes outputs[max_node_links];
    if (session.bytes().work > most_work || session.bytes().arena > most_arena) return;
    const std::span<const std::uint32_t> results = graph.outputs();
    const auto input = [](std::size_t i) { return static_cast<std::uint32_t>(i); };
    const auto output = [&](std::size_t i) { return results[i]; };
    if (!place(session, graph.inputs().size(), input, input_memory, sizeof input_memory, inputs)) return;
    Status status[2] = {};
    for (int pass = 0; pass < 2; ++pass) {
        if (!place(session, results.size(), output, output_memory[pass], sizeof output_memory[pass], outputs)) return;
        // The arena is exactly as large as was asked for, so that the sanitizer sees a step over its end.
        const auto bytes = static_cast<std::size_t>(session.bytes().arena);
        std::uint8_t* const exact = static_cast<std::uint8_t*>(malloc(bytes));
        if (exact == nullptr) fail();
        memset(exact, pass == 0 ? 0xFF : 0x3C, bytes);
        status[pass] = session.run({inputs, graph.inputs().size()}, {outputs, results.size()}, {exact, bytes});
        free(exact);
    }
    if (status[0] != status[1]) fail();
    if (status[0] != Status::ok) return;
    for (std::size_t i = 0; i < results.size(); ++i) {
        const std::size_t at = static_cast<std::size_t>(outputs[i].data() - output_memory[1]);
        if (memcmp(output_memory[0] + at, output_memory[1] + at, outputs[i].size()) != 0) fail();
    }
}

// Shapes: what the graph says; what it leaves open is 1 to 5. `choice` also picks what is computed with.
void plan_and_run(const Model& model, std::uint8_t choice) {
    static std::int64_t dims[max_node_links][max_rank];
    static InputShape shapes[max_node_links];
    const Graph& graph = model.graph();
    for (std::size_t i = 0; i < graph.inputs().size(); ++i) {
        const GraphValue& value = graph.inputs()[i];
        for (std::size_t d = 0; d < value.dims.size(); ++d) {
            dims[i][d] = value.dims[d] == -1 ? 1 + (choice + d) % 5 : value.dims[d];
        }
        shapes[i] = {static_cast<unsigned>(value.dims.size()), dims[i]};
    }
    std::uint64_t bytes = 0;
    if (Session::size(model, &bytes) != Status::ok) fail();
    if (bytes > sizeof session_memory) return;
    const Session* session = nullptr;
    std::uint32_t failed = 0;
    const Status status =
        Session::plan(model, {shapes, graph.inputs().size()}, {session_memory, static_cast<std::size_t>(bytes)},
                      &session, &failed, {static_cast<Activations>(choice / 64 % 3), 1});
    if (status == Status::memory_too_small) fail();  // it was given what it asked for
    if (status == Status::ok) run(*session);
}

// Sets one byte of a graph's section to what might just be accepted: most of its numbers take one byte.
void mutate_byte(MutableBytes graph, unsigned seed) {
    constexpr std::uint8_t numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 32, 33, 127, 128, 255};
    const std::uint8_t number = numbers[(seed >> 1) % (sizeof numbers / sizeof *numbers)];
    std::uint8_t& byte = graph[(seed >> 8) % graph.size()];
    byte = seed % 2 == 0 ? number : static_cast<std::uint8_t>(byte + ((seed & 2U) != 0 ? 1 : -1));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes file(data, size);
    std::uint64_t bytes = 0;
    if (size == 0) return 0;
    const std::uint8_t choice = data[size - 1];
    const auto load = static_cast<Load>(choice / 3 % 3);
    if (Model::size(file, load, &bytes) != Status::ok || bytes > sizeof model_memory) return 0;
    const Model* model = nullptr;
    const Status status = Model::open(file, Check::none, load, {model_memory, static_cast<std::size_t>(bytes)}, &model);
    if (status == Status::memory_too_small) fail();
    if (status != Status::ok) return 0;
    if (input_memory[0] == 0) {  // once: inputs between -1 and 1
        for (std::size_t i = 0; i < sizeof input_memory; i += 4) {
            store_le<float>(input_memory + i, static_cast<float>(i * 2654435761U % 1999) / 1000.0F - 0.9995F);
        }
    }
    plan_and_run(*model, choice);
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
    File opened;
    if (seed % 8 != 0 && File::open({data, size}, Check::none, &opened) == Status::ok && !opened.graph().empty()) {
        const MutableBytes graph(const_cast<std::uint8_t*>(opened.graph().data()), opened.graph().size());
        const unsigned times = 1 + (seed >> 3) % 3;
        for (unsigned i = 0; i < times; ++i) {
            std::uint64_t mixed = (seed + i) * 0x9E3779B97F4A7C15ULL;
            mixed ^= mixed >> 29;
            if (mixed % 16 == 0) {
                LLVMFuzzerMutate(graph.data(), graph.size(), graph.size());
            } else {
                mutate_byte(graph, static_cast<unsigned>(mixed >> 8));
            }
        }
        return size;
    }
    return LLVMFuzzerMutate(data, size, max_size);
}
