/* embed FILE: what a device does with the library, and what an attacker does to it.
 *
 * Static memory only. FILE is tests/cpp/mlp.bp: x [?, 4] -> y [?, 3], y = relu(x w1' + b1) w2' with int8 weights
 * (w1 under Huffman), made by tests/cpp/make_mlp.py, which prints the numbers expected below.
 */
#include <bitpress/bitpress.h>
#include <stdio.h>
#include <string.h>

static _Alignas(64) unsigned char file[16384];
static unsigned char forged[16384];
static _Alignas(64) unsigned char model_memory[131072];
static _Alignas(64) unsigned char session_memory[65536];
static _Alignas(64) unsigned char arena[65536];
static int failures;

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            ++failures;                                                     \
        }                                                                   \
    } while (0)

/* Opens, plans for one row and runs; BP_OK only where all of it worked. */
static bp_status run(const unsigned char* data, size_t n, bp_check check, bp_load load, unsigned char* memory,
                     size_t memory_bytes, unsigned char* run_arena, size_t arena_bytes, const float* x, float* y) {
    size_t needed = 0;
    const bp_model* model = NULL;
    const bp_session* session = NULL;
    bp_status status = bp_model_size(data, n, load, &needed);
    if (status != BP_OK) return status;
    if (needed > memory_bytes) return BP_MEMORY_TOO_SMALL;
    status = bp_model_open(data, n, check, load, memory, needed, &model);
    if (status != BP_OK) return status;
    status = bp_session_size(model, &needed);
    if (status != BP_OK) return status;
    if (needed > sizeof session_memory) return BP_MEMORY_TOO_SMALL;
    const bp_shape shape = {2, {1, 4}};
    status = bp_session_plan(model, &shape, 1, NULL, session_memory, needed, &session);
    if (status != BP_OK) return status;
    if (bp_session_arena(session) > arena_bytes) return BP_MEMORY_TOO_SMALL;
    const bp_input in = {x, 4 * sizeof(float)};
    const bp_output out = {y, 3 * sizeof(float)};
    return bp_run(session, &in, &out, run_arena, arena_bytes, NULL);
}

static bp_status run_simply(const unsigned char* data, size_t n, bp_check check, const float* x, float* y) {
    return run(data, n, check, BP_LOAD_MAP, model_memory, sizeof model_memory, arena, sizeof arena, x, y);
}

static int close_to(float a, float b) { return a - b < 1e-5F && b - a < 1e-5F; }

static const float x[4] = {1.0F, -2.0F, 0.5F, 3.0F};
static const float want[3] = {
#include "mlp.expected"
};

static int right(const float* y) {
    return close_to(y[0], want[0]) && close_to(y[1], want[1]) && close_to(y[2], want[2]);
}

static void introspect(size_t n) {
    const bp_model* model = NULL;
    bp_value value;
    CHECK(bp_abi_version() == BP_ABI_VERSION);
    CHECK(bp_model_open(file, n, BP_CHECK_FULL, BP_LOAD_MAP, model_memory, sizeof model_memory, &model) == BP_OK);
    if (model == NULL) return;
    CHECK(bp_model_input_count(model) == 1 && bp_model_output_count(model) == 1);
    CHECK(bp_model_input(model, 0, &value) == BP_OK);
    CHECK(value.name_bytes == 1 && value.name[0] == 'x' && value.dtype == BP_F32);
    CHECK(value.rank == 2 && value.dims[0] == -1 && value.dims[1] == 4);
    CHECK(bp_model_output(model, 0, &value) == BP_OK && value.name[0] == 'y');
    CHECK(bp_model_input(model, 1, &value) == BP_BAD_ARGUMENT);
    CHECK(bp_model_output(model, 1, &value) == BP_BAD_ARGUMENT);

    const bp_session* session = NULL;
    bp_shape shape = {2, {5, 4}};
    CHECK(bp_session_plan(model, &shape, 1, NULL, session_memory, sizeof session_memory, &session) == BP_OK);
    CHECK(bp_session_output(session, 0, &value) == BP_OK);
    CHECK(value.rank == 2 && value.dims[0] == 5 && value.dims[1] == 3);
    CHECK(bp_session_tile(session) > 0 && bp_session_tile(session) < bp_session_arena(session));
    shape.dims[1] = 5;
    CHECK(bp_session_plan(model, &shape, 1, NULL, session_memory, sizeof session_memory, &session) == BP_BAD_SHAPE);
    shape.dims[1] = -1;
    CHECK(bp_session_plan(model, &shape, 1, NULL, session_memory, sizeof session_memory, &session) == BP_BAD_SHAPE);
    shape.rank = 9;
    CHECK(bp_session_plan(model, &shape, 1, NULL, session_memory, sizeof session_memory, &session) == BP_BAD_SHAPE);
    CHECK(bp_session_plan(model, &shape, 2, NULL, session_memory, sizeof session_memory, &session) == BP_BAD_ARGUMENT);
    CHECK(strcmp(bp_message(BP_OK), "ok") == 0 && strlen(bp_message((bp_status)99)) > 0);
}

static void any_alignment(size_t n) {
    for (size_t shift = 0; shift < 9; ++shift) {
        memcpy(forged + shift, file, n);
        for (int load = BP_LOAD_MAP; load <= BP_LOAD_UNPACK; ++load) {
            float y[3] = {0};
            const bp_status status = run(forged + shift, n, BP_CHECK_FULL, (bp_load)load, model_memory + shift,
                                         sizeof model_memory - shift, arena + shift, sizeof arena - shift, x, y);
            CHECK(status == BP_OK && right(y));
        }
    }
}

static void too_little_memory(size_t n) {
    size_t needed = 0;
    const bp_model* model = NULL;
    const bp_session* session = NULL;
    const bp_shape shape = {2, {1, 4}};
    CHECK(bp_model_size(file, n, (bp_load)3, &needed) == BP_BAD_ARGUMENT);
    CHECK(bp_model_size(file, n, BP_LOAD_MAP, &needed) == BP_OK);
    for (size_t less = needed < 4096 ? 0 : needed - 4096; less + 64 < needed; less += 61) {
        CHECK(bp_model_open(file, n, BP_CHECK_FULL, BP_LOAD_MAP, model_memory, less, &model) == BP_MEMORY_TOO_SMALL);
    }
    CHECK(bp_model_open(file, n, BP_CHECK_FULL, BP_LOAD_MAP, model_memory, needed, &model) == BP_OK);
    CHECK(bp_session_size(model, &needed) == BP_OK);
    for (size_t less = 0; less + 64 < needed; less += 61) {
        CHECK(bp_session_plan(model, &shape, 1, NULL, session_memory, less, &session) == BP_MEMORY_TOO_SMALL);
    }
    const bp_options wrong[2] = {{(bp_activations)3, 1}, {BP_FLOAT32, BP_MAX_WORKERS + 1}};
    const bp_options right_ones[2] = {{BP_INT8, 0}, {BP_INT16, BP_MAX_WORKERS}};
    for (int i = 0; i < 2; ++i) {
        CHECK(bp_session_plan(model, &shape, 1, &wrong[i], session_memory, needed, &session) == BP_BAD_ARGUMENT);
        CHECK(bp_session_plan(model, &shape, 1, &right_ones[i], session_memory, needed, &session) == BP_OK);
    }
    CHECK(bp_session_plan(model, &shape, 1, NULL, session_memory, needed, &session) == BP_OK);
    float y[4] = {0};
    const bp_input in = {x, 16};
    bp_output out = {y, 12};
    CHECK(bp_run(session, &in, &out, arena, bp_session_arena(session) - 1, NULL) == BP_MEMORY_TOO_SMALL);
    out.bytes = 16;
    CHECK(bp_run(session, &in, &out, arena, sizeof arena, NULL) == BP_BAD_ARGUMENT);
    out.bytes = 12;
    out.data = (unsigned char*)y + 1;
    CHECK(bp_run(session, &in, &out, arena, sizeof arena, NULL) == BP_BAD_ARGUMENT);
}

/* Every truncation and every flipped bit is refused by the full check; without it, nothing worse than a wrong number.
 */
static void forge(size_t n) {
    float y[3];
    for (size_t cut = 0; cut < n; ++cut) CHECK(run_simply(file, cut, BP_CHECK_FULL, x, y) != BP_OK);
    memcpy(forged, file, n);
    for (size_t i = 0; i < n; ++i) {
        for (int bit = 0; bit < 8; ++bit) {
            forged[i] ^= (unsigned char)(1U << bit);
            CHECK(run_simply(forged, n, BP_CHECK_FULL, x, y) != BP_OK);
            (void)run_simply(forged, n, BP_CHECK_NONE, x, y);
            forged[i] ^= (unsigned char)(1U << bit);
        }
    }
}

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    FILE* in = fopen(argv[1], "rb");
    if (in == NULL) return 2;
    const size_t n = fread(file, 1, sizeof file, in);
    fclose(in);
    CHECK(n > 0 && n < sizeof file - 16);
    float y[3] = {0};
    CHECK(run_simply(file, n, BP_CHECK_FULL, x, y) == BP_OK && right(y));
    introspect(n);
    any_alignment(n);
    too_little_memory(n);
    forge(n);
    printf("%s: %zu bytes, y = %.6f %.6f %.6f, %d failures\n", argv[0], n, (double)y[0], (double)y[1], (double)y[2],
           failures);
    return failures != 0;
}
