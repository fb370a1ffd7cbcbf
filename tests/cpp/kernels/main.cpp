// Holds every kernel of every instruction set that this CPU runs against scalar's: random sizes, alignments and values,
// between pages that cannot be touched. `kernels [TRIALS [NAME]]`; scalar is held against itself, for what it reads.
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "trial.h"

namespace bitpress::test {
namespace {

// Of the trial under way, for the handler of faults.
const char* isa_now = "";
const char* kernel_now = "";
unsigned long long seed_now = 0;

void on_fault(int) {
    std::printf("%s %s: touched memory beyond its own (seed %llu)\n", isa_now, kernel_now, seed_now);
    std::fflush(stdout);
    _exit(1);
}

std::uint64_t hash(const char* text) noexcept {
    std::uint64_t h = 1469598103934665603ULL;
    for (; *text != '\0'; ++text) h = (h ^ static_cast<unsigned char>(*text)) * 1099511628211ULL;
    return h;
}

struct Run {
    const Kernels* isa;
    Arena* arena;
    unsigned trials;
    const char* only;
    unsigned held = 0;

    void operator()(const char* name, bool own, void (*check)(const Trial&) noexcept) {
        if (only != nullptr && std::strcmp(only, name) != 0) return;
        if (!own) return;
        kernel_now = name;
        for (unsigned i = 0; i < trials; ++i) {
            seed_now = hash(name) + i;
            Random random(seed_now);
            arena->reset();
            check({*isa, *kernels(Isa::scalar), random, *arena, name});
        }
        ++held;
    }
};

}  // namespace

int main(int count, char** words) {
    if (kernels() == nullptr) {
        std::printf("BITPRESS_ISA names what this CPU lacks\n");
        return 2;
    }
    static Arena arena;
    std::signal(SIGSEGV, on_fault);
    std::signal(SIGBUS, on_fault);
    const unsigned trials = count > 1 ? static_cast<unsigned>(std::strtoul(words[1], nullptr, 10)) : 1000;
    for (int i = 0; i < isa_count; ++i) {
        const Kernels* isa = kernels(static_cast<Isa>(i));
        if (isa == nullptr) continue;
        isa_now = isa_name(isa->isa);
        const unsigned some = i == 0 ? trials / 10 + 1 : trials;
        Run run{isa, &arena, some, count > 2 ? words[2] : nullptr};
        // A slot that is another table's was held there. Minimal builds leave slots empty.
#define BP_KERNEL(name, result, parameters)                      \
    {                                                            \
        bool own = isa->name != nullptr;                         \
        for (int k = 0; k < i; ++k) {                            \
            const Kernels* below = kernels(static_cast<Isa>(k)); \
            own = own && (!below || below->name != isa->name);   \
        }                                                        \
        run(#name, own, check_##name);                           \
    }
#include "kernels/kernels.def"
#undef BP_KERNEL
        std::printf("%s: %u kernels of its own, %u trials each\n", isa_now, run.held, some);
    }
    return 0;
}

std::uint64_t Random::next() noexcept {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

float Random::unit() noexcept { return static_cast<float>(static_cast<int>(next() >> 40) - (1 << 23)) * 0x1p-23F; }

Arena::Arena() noexcept : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    const std::size_t step = piece_bytes + page_;
    void* all = mmap(nullptr, pieces * step + page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) std::abort();
    base_ = static_cast<unsigned char*>(all) + page_;
    for (std::size_t i = 0; i < pieces; ++i) {
        if (mprotect(base_ + i * step, piece_bytes, PROT_READ | PROT_WRITE) != 0) std::abort();
    }
}

Arena::~Arena() { munmap(base_ - page_, pieces * (piece_bytes + page_) + page_); }

void* Arena::take(std::size_t n_bytes, bool at_end) noexcept {
    if (used_ == pieces || n_bytes > piece_bytes) std::abort();
    unsigned char* piece = base_ + used_++ * (piece_bytes + page_);
    return at_end ? piece + piece_bytes - n_bytes : piece;
}

std::size_t Trial::size(std::size_t most) const noexcept {
    switch (random.below(4)) {
        case 0: return random.below(most < 20 ? most + 1 : 20);
        case 1: {
            const std::size_t about = random.below(most / 16 + 1) * 16 + random.below(3);
            return about < 1 ? 0 : about - 1 < most ? about - 1 : most;
        }
        default: return random.below(most + 1);
    }
}

void Trial::fill(void* p, std::size_t n_bytes) const noexcept {
    for (std::size_t i = 0; i < n_bytes; ++i)
        static_cast<unsigned char*>(p)[i] = static_cast<unsigned char>(random.next());
}

std::uint8_t* Trial::bytes(std::size_t n, std::size_t limit) const noexcept {
    auto* p = room<std::uint8_t>(n);
    for (std::size_t i = 0; i < n; ++i) p[i] = static_cast<std::uint8_t>(random.below(limit));
    return p;
}

std::uint16_t* Trial::words(std::size_t n, std::size_t limit) const noexcept {
    auto* p = room<std::uint16_t>(n);
    for (std::size_t i = 0; i < n; ++i) p[i] = static_cast<std::uint16_t>(random.below(limit));
    return p;
}

float Trial::one_float(Draw draw) const noexcept {
    if (draw == Draw::unit) return random.unit();
    static constexpr float special[] = {
        0.0F,       -0.0F,           0x1p-149F,        -0x1p-130F,        0x1p-100F,
        -0x1p-101F, 0x1.fffffep127F, __builtin_inff(), -__builtin_inff(), __builtin_nanf("")};
    if (random.one_in(6)) return special[random.below(draw == Draw::any ? 10 : 7)];
    float x;
    do {
        const auto bits = static_cast<std::uint32_t>(random.next());
        std::memcpy(&x, &bits, sizeof x);
    } while (draw == Draw::finite && !(x - x == 0.0F));
    return x;
}

float* Trial::floats(std::size_t n, Draw draw) const noexcept {
    static constexpr float powers[] = {1.0F, 1.0F, 0.01F, 10.0F, 1e6F, 1e-12F};
    auto* p = room<float>(n);
    const float power = powers[random.below(6)];
    const bool few = random.one_in(2);  // odd ones among common ones
    for (std::size_t i = 0; i < n; ++i) {
        p[i] = draw == Draw::unit || (few && !random.one_in(8)) ? random.unit() * power : one_float(draw);
    }
    return p;
}

float Trial::scale() const noexcept {
    float x = random.unit();
    x = x < 0.0F ? -x : x;
    return (x + 0.01F) * (random.one_in(4) ? 0x1p-40F : random.one_in(4) ? 100.0F : 0.1F);
}

void Trial::fail(const char* what, std::size_t i) const noexcept {
    std::printf("%s %s: %s differs at %zu (seed %llu)\n", isa_now, kernel, what, i, seed_now);
    std::fflush(stdout);
    std::_Exit(1);
}

void Trial::same(const char* what, const void* plain_bytes, const void* isa_bytes, std::size_t n_bytes) const noexcept {
    const auto* a = static_cast<const unsigned char*>(plain_bytes);
    const auto* b = static_cast<const unsigned char*>(isa_bytes);
    for (std::size_t i = 0; i < n_bytes; ++i) {
        if (a[i] != b[i]) fail(what, i);
    }
}

void Trial::same_floats(const char* what, const float* plain_x, const float* isa_x, std::size_t n) const noexcept {
    for (std::size_t i = 0; i < n; ++i) {
        const bool nan = plain_x[i] != plain_x[i];
        if (nan ? isa_x[i] == isa_x[i] : std::memcmp(plain_x + i, isa_x + i, sizeof(float)) != 0) fail(what, i);
    }
}

void Trial::same_number(const char* what, std::uint64_t plain_value, std::uint64_t isa_value) const noexcept {
    if (plain_value != isa_value) fail(what, 0);
}

void Trial::near(const char* what, double wanted, double got, double error, std::size_t i) const noexcept {
    const double off = wanted > got ? wanted - got : got - wanted;
    if (wanted != wanted ? got == got : !(wanted == got || off <= error)) {
        std::printf("%.9g is not %.9g within %.3g\n", got, wanted, error);
        fail(what, i);
    }
}

}  // namespace bitpress::test

int main(int count, char** words) { return bitpress::test::main(count, words); }
