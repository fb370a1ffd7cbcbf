// How the encoder of bounded frames picks its prediction. Sums are whole numbers and the doubles see no fused
// operation, so every machine picks the same.
#include "codings/bounded_rows.h"

namespace bitpress::bounded {
namespace {

constexpr unsigned unknowns = tap_count + 1;  // and the bias
constexpr std::size_t sample_target = 6144;
constexpr std::int32_t one = 1 << 10;           // what stands for the bias among the taps
constexpr std::int32_t most_sampled = 1 << 21;  // products of a sample stay below 2^58

struct Sample {
    std::int32_t tap[unknowns];
    std::int32_t value;
};

void take(const Values& values, const Values::Near& near, std::size_t start, std::size_t j, std::size_t row,
          Sample* sample) noexcept {
    const Far far = values.far(near, j, row);
    const std::int32_t w = j >= 1 ? values[start + j - 1] : near.left;
    const std::int32_t ww = j >= 2 ? values[start + j - 2] : near.left;
    const std::int32_t taps[tap_count] = {w, ww, far.n, far.nn, far.nw, far.ne, far.p, far.pw, far.pn, far.pnw};
    std::memcpy(sample->tap, taps, sizeof taps);
    sample->tap[tap_count] = one;
    sample->value = values[start + j];
}

// Calls use(sample) for about sample_target elements, the same ones each time.
template <class Use>
void each_sample(const Values& values, std::size_t row, std::size_t row_count, Use use) noexcept {
    const std::size_t total = row * row_count;
    const std::size_t step = total / sample_target + 1;
    Sample sample;
    for (std::size_t i = step / 2, k = 0; i < total; i += step, ++k) {
        const std::size_t jittered = i + (k * 7919) % step;  // so that no column is favoured
        const std::size_t at = jittered - step / 2;
        const std::size_t r = at / row;
        take(values, values.neighbours(r), r * row, at % row, row, &sample);
        use(sample);
    }
}

struct Normal {
    std::int64_t a[unknowns][unknowns];
    std::int64_t b[unknowns];
};

bool small(const Sample& sample) noexcept {
    for (const std::int32_t tap : sample.tap) {
        if (tap > most_sampled || tap < -most_sampled) return false;
    }
    return sample.value <= most_sampled && sample.value >= -most_sampled;
}

std::int64_t predicted(const Predictor& model, const Sample& sample) noexcept {
    std::int64_t sum = static_cast<std::int64_t>(model.bias) * (1 << weight_bits) + (1 << (weight_bits - 1));
    for (unsigned k = 0; k < tap_count; ++k) sum += times(sample.tap[k], model.weight[k]);
    return sum >> weight_bits;
}

// Gauss with a ridge: taps that say nothing get nothing. False where there is no solution to speak of.
bool solve(const Normal& normal, Predictor* model) noexcept {
    double a[unknowns][unknowns + 1];
    for (unsigned i = 0; i < unknowns; ++i) {
        for (unsigned j = 0; j < unknowns; ++j) a[i][j] = static_cast<double>(normal.a[i][j]);
        a[i][i] += a[i][i] * (1.0 / 4096) + 1;
        a[i][unknowns] = static_cast<double>(normal.b[i]);
    }
    for (unsigned i = 0; i < unknowns; ++i) {
        if (!(a[i][i] > 1e-3)) return false;
        for (unsigned k = i + 1; k < unknowns; ++k) {
            const double factor = a[k][i] / a[i][i];
            for (unsigned j = i; j <= unknowns; ++j) a[k][j] -= factor * a[i][j];
        }
    }
    double x[unknowns];
    for (unsigned i = unknowns; i-- > 0;) {
        double sum = a[i][unknowns];
        for (unsigned j = i + 1; j < unknowns; ++j) sum -= a[i][j] * x[j];
        x[i] = sum / a[i][i];
    }
    for (unsigned k = 0; k < tap_count; ++k) {
        const double scaled = x[k] * (1 << weight_bits);
        if (scaled != scaled || scaled < -32000 || scaled > 32000) return false;
        model->weight[k] = static_cast<std::int16_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    }
    const double bias = x[tap_count] * one;
    if (bias != bias || bias < -1e9 || bias > 1e9) return false;
    model->bias = static_cast<std::int32_t>(bias < 0 ? bias - 0.5 : bias + 0.5);
    return true;
}

// About 16 times the bits that the samples' residuals take.
std::uint64_t cost(const Values& values, std::size_t row, std::size_t row_count, const Predictor& model) noexcept {
    std::uint64_t bits = 0;
    each_sample(values, row, row_count, [&](const Sample& sample) {
        const std::int64_t residual = sample.value - predicted(model, sample);
        const std::uint64_t size = 2 * static_cast<std::uint64_t>(residual < 0 ? -residual : residual) + 1;
        const unsigned top = 63 - static_cast<unsigned>(__builtin_clzll(size));
        const std::uint64_t mantissa = top >= 4 ? size >> (top - 4) : size << (4 - top);
        bits += 16 * top + (mantissa & 15);
    });
    return bits;
}

std::int64_t mean_residual(const Values& values, std::size_t row, std::size_t row_count,
                           const Predictor& model) noexcept {
    std::int64_t sum = 0;
    std::int64_t count = 1;
    each_sample(values, row, row_count, [&](const Sample& sample) {
        const std::int64_t residual = sample.value - predicted(model, sample);
        sum += residual < 0 ? -residual : residual;
        ++count;
    });
    return sum / count;
}

constexpr std::int16_t whole = 1 << weight_bits;
constexpr Predictor fixed[] = {
    {},
    {{whole}, 0},
    {{2 * whole, -whole}, 0},
    {{0, 0, whole}, 0},
    {{whole, 0, whole, 0, -whole}, 0},
    {{0, 0, 0, 0, 0, 0, whole}, 0},
    {{whole, 0, whole, 0, -whole, 0, whole, -whole, -whole, whole}, 0},
};

}  // namespace

void fit(const Values& values, std::size_t row, std::size_t row_count, Predictor* model) noexcept {
    std::uint64_t least = ~std::uint64_t{0};
    const auto consider = [&](const Predictor& candidate) {
        const std::uint64_t bits = cost(values, row, row_count, candidate);
        if (bits >= least) return;
        least = bits;
        *model = candidate;
    };
    for (const Predictor& candidate : fixed) consider(candidate);
    // Twice least squares, each sample weighing less by its last residual: nearer to bits than squares alone.
    Predictor fitted = *model;
    for (unsigned round = 0; round < 2; ++round) {
        const std::int64_t scale = mean_residual(values, row, row_count, fitted) / 2 + 1;
        Normal normal = {};
        each_sample(values, row, row_count, [&](const Sample& sample) {
            if (!small(sample)) return;
            const std::int64_t residual = sample.value - predicted(fitted, sample);
            const std::int64_t trust = 64 * scale / ((residual < 0 ? -residual : residual) + scale);
            for (unsigned i = 0; i < unknowns; ++i) {
                const std::int64_t scaled = sample.tap[i] * trust;
                for (unsigned j = 0; j <= i; ++j) normal.a[i][j] += scaled * sample.tap[j];
                normal.b[i] += scaled * sample.value;
            }
        });
        for (unsigned i = 0; i < unknowns; ++i) {
            for (unsigned j = 0; j < i; ++j) normal.a[j][i] = normal.a[i][j];
        }
        if (!solve(normal, &fitted)) return;
        consider(fitted);
    }
}

}  // namespace bitpress::bounded
