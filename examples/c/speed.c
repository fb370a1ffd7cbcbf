/* speed FILE [THREADS [RUNS]]: milliseconds of a run of FILE's network with one worker and with THREADS (2) of them:
 * the least of RUNS (50). Inputs are zeros; dims that the network leaves open are 1.
 */
#include <bitpress/threads.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST = 16 };

static void* taken[128];
static unsigned taken_count;

static void let_go(void) {
    while (taken_count > 0) free(taken[--taken_count]);
}

/* Zeroed memory until the program ends. */
static void* take(size_t bytes) {
    if (taken_count == sizeof taken / sizeof *taken || (taken_count == 0 && atexit(let_go) != 0)) exit(1);
    void* memory = calloc(bytes > 0 ? bytes : 1, 1);
    if (memory == NULL) exit(1);
    return taken[taken_count++] = memory;
}

static int complain(bp_status status) {
    fprintf(stderr, "speed: %s\n", bp_message(status));
    return 1;
}

static double now(void) {
    struct timespec time;
    timespec_get(&time, TIME_UTC);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static size_t bytes_of(const bp_value* value) {
    size_t bytes = 8; /* the widest element */
    for (uint32_t d = 0; d < value->rank; ++d) bytes *= (size_t)value->dims[d];
    return value->dtype == BP_F32 ? bytes / 2 : bytes;
}

/* Plans for that many workers, and runs; the least time in *milliseconds. */
static bp_status measure(const bp_model* model, uint32_t count, int runs, double* milliseconds) {
    bp_shape shapes[MOST];
    bp_input inputs[MOST];
    bp_output outputs[MOST];
    bp_value value;
    size_t bytes = 0;
    const bp_session* session = NULL;
    const uint32_t input_count = bp_model_input_count(model);
    const uint32_t output_count = bp_model_output_count(model);
    if (input_count > MOST || output_count > MOST) return BP_UNSUPPORTED;
    for (uint32_t i = 0; i < input_count; ++i) {
        bp_status status = bp_model_input(model, i, &value);
        if (status != BP_OK) return status;
        if (value.rank > BP_MAX_RANK || (value.dtype != BP_F32 && value.dtype != BP_I64)) return BP_UNSUPPORTED;
        shapes[i].rank = value.rank;
        for (uint32_t d = 0; d < value.rank; ++d)
            shapes[i].dims[d] = value.dims[d] = value.dims[d] == -1 ? 1 : value.dims[d];
        inputs[i].bytes = bytes_of(&value);
        inputs[i].data = take(inputs[i].bytes);
    }
    const bp_options options = {BP_FLOAT32, count};
    bp_status status = bp_session_size(model, &bytes);
    if (status == BP_OK) status = bp_session_plan(model, shapes, input_count, &options, take(bytes), bytes, &session);
    if (status != BP_OK) return status;
    for (uint32_t i = 0; i < output_count; ++i) {
        status = bp_session_output(session, i, &value);
        if (status != BP_OK) return status;
        if (value.dtype != BP_F32 && value.dtype != BP_I64) return BP_UNSUPPORTED;
        outputs[i].bytes = bytes_of(&value);
        outputs[i].data = take(outputs[i].bytes);
    }
    bp_threads* threads = bp_threads_start(take(bp_threads_bytes(count)), count);
    if (threads == NULL) return BP_BAD_ARGUMENT;
    const bp_workers workers = bp_threads_workers(threads);
    void* arena = take(bp_session_arena(session));
    *milliseconds = 1e300;
    for (int run = 0; run < runs && status == BP_OK; ++run) {
        const double begun = now();
        status = bp_run(session, inputs, outputs, arena, bp_session_arena(session), &workers);
        if (now() - begun < *milliseconds) *milliseconds = now() - begun;
    }
    bp_threads_stop(threads);
    return status;
}

int main(int argc, char** argv) {
    FILE* from = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (from == NULL) {
        fprintf(stderr, "usage: speed FILE [THREADS [RUNS]]\n");
        return 2;
    }
    const uint32_t count = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 2;
    const int runs = argc > 3 ? atoi(argv[3]) : 50;
    fseek(from, 0, SEEK_END);
    const size_t file_bytes = (size_t)ftell(from);
    void* file = take(file_bytes);
    rewind(from);
    if (fread(file, 1, file_bytes, from) != file_bytes) return 1;
    fclose(from);
    size_t bytes = 0;
    const bp_model* model = NULL;
    bp_status status = bp_model_size(file, file_bytes, BP_LOAD_MAP, &bytes);
    if (status == BP_OK)
        status = bp_model_open(file, file_bytes, BP_CHECK_FULL, BP_LOAD_MAP, take(bytes), bytes, &model);
    double alone = 0;
    double shared = 0;
    if (status == BP_OK) status = measure(model, 1, runs, &alone);
    if (status == BP_OK) status = measure(model, count, runs, &shared);
    if (status != BP_OK) return complain(status);
    printf("1 worker %.3f ms, %u workers %.3f ms: %.2f times as fast\n", alone, count, shared, alone / shared);
    return 0;
}
