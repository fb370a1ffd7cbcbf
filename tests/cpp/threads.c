/* threads FILE [RUNS]: the network of FILE with two to four workers, RUNS times (20), beside one worker: the same
 * bytes.
 *
 * Once more from two threads at a time, each with its own arena, that share one pool. Dims that the network leaves open
 * are ROWS. Run under ThreadSanitizer by `make tsan`.
 */
#include <bitpress/threads.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 512, MOST = 4 };

static const bp_session* session;
static bp_input inputs[MOST];
static void* want[MOST];
static size_t output_bytes[MOST];
static uint32_t output_count;
static int runs = 20;

static void* take(size_t bytes) {
    void* memory = malloc(bytes > 0 ? bytes : 1);
    if (memory == NULL) exit(2);
    return memory;
}

static void* kept[128];
static unsigned kept_count;

static void let_go(void) {
    while (kept_count > 0) free(kept[--kept_count]);
}

/* Memory until the program ends; for the main thread alone. */
static void* keep(size_t bytes) {
    if (kept_count == sizeof kept / sizeof *kept || (kept_count == 0 && atexit(let_go) != 0)) exit(2);
    return kept[kept_count++] = take(bytes);
}

static size_t elements(const bp_value* value) {
    size_t count = 1;
    for (uint32_t d = 0; d < value->rank; ++d) count *= (size_t)value->dims[d];
    return count;
}

/* Runs once and compares; 0 where all bytes are as wanted. */
static int check(const bp_workers* workers, void* arena) {
    bp_output outputs[MOST];
    int wrong = 0;
    for (uint32_t i = 0; i < output_count; ++i) {
        outputs[i].bytes = output_bytes[i];
        outputs[i].data = take(output_bytes[i]);
        memset(outputs[i].data, 0x5A, output_bytes[i]);
    }
    wrong = bp_run(session, inputs, outputs, arena, bp_session_arena(session), workers) != BP_OK;
    for (uint32_t i = 0; i < output_count; ++i) {
        wrong |= memcmp(outputs[i].data, want[i], output_bytes[i]) != 0;
        free(outputs[i].data);
    }
    return wrong;
}

static void* check_often(void* workers) {
    void* arena = take(bp_session_arena(session));
    intptr_t wrong = 0;
    for (int i = 0; i < runs; ++i) wrong |= check(workers, arena);
    free(arena);
    return (void*)wrong;
}

static void fill(bp_input* input, const bp_value* value) {
    float* x = keep(elements(value) * sizeof *x);
    for (size_t i = 0; i < elements(value); ++i) x[i] = (float)(i * 2654435761U % 1999) / 1000.0F - 0.9995F;
    input->data = x;
    input->bytes = elements(value) * sizeof *x;
}

static bp_status plan(const bp_model* model, const bp_options* options) {
    bp_shape shapes[MOST];
    bp_value value;
    size_t needed = 0;
    const uint32_t count = bp_model_input_count(model);
    output_count = bp_model_output_count(model);
    if (count > MOST || output_count > MOST) return BP_UNSUPPORTED;
    for (uint32_t i = 0; i < count; ++i) {
        if (bp_model_input(model, i, &value) != BP_OK || value.dtype != BP_F32) return BP_UNSUPPORTED;
        for (uint32_t d = 0; d < value.rank; ++d) {
            if (value.dims[d] == -1) value.dims[d] = ROWS;
            shapes[i].dims[d] = value.dims[d];
        }
        shapes[i].rank = value.rank;
        if (inputs[i].data == NULL) fill(&inputs[i], &value);
    }
    bp_status status = bp_session_size(model, &needed);
    if (status == BP_OK) status = bp_session_plan(model, shapes, count, options, keep(needed), needed, &session);
    for (uint32_t i = 0; status == BP_OK && i < output_count; ++i) {
        status = bp_session_output(session, i, &value);
        output_bytes[i] = elements(&value) * sizeof(float);
    }
    return status;
}

static int with_workers(const bp_model* model, bp_activations activations, uint32_t count) {
    const bp_options options = {activations, count};
    if (plan(model, &options) != BP_OK) return 1;
    bp_threads* threads = bp_threads_start(keep(bp_threads_bytes(count)), count);
    if (threads == NULL) return 1;
    bp_workers workers = bp_threads_workers(threads);
    pthread_t other;
    void* wrong[2] = {NULL, NULL};
    if (pthread_create(&other, NULL, check_often, &workers) != 0) return 1;
    wrong[0] = check_often(&workers);
    pthread_join(other, &wrong[1]);
    bp_threads_stop(threads);
    return wrong[0] != NULL || wrong[1] != NULL;
}

static int with_one(const bp_model* model, bp_activations activations) {
    const bp_options options = {activations, 1};
    bp_output outputs[MOST];
    if (plan(model, &options) != BP_OK) return 1;
    for (uint32_t i = 0; i < output_count; ++i) {
        outputs[i].data = want[i] = keep(output_bytes[i]);
        outputs[i].bytes = output_bytes[i];
    }
    const size_t arena = bp_session_arena(session);
    return bp_run(session, inputs, outputs, keep(arena), arena, NULL) != BP_OK;
}

int main(int argc, char** argv) {
    static unsigned char file[1 << 17];
    FILE* from = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (from == NULL) return 2;
    const size_t n = fread(file, 1, sizeof file, from);
    fclose(from);
    if (argc > 2) runs = atoi(argv[2]);
    size_t needed = 0;
    const bp_model* model = NULL;
    if (bp_model_size(file, n, BP_LOAD_MAP, &needed) != BP_OK) return 2;
    if (bp_model_open(file, n, BP_CHECK_FULL, BP_LOAD_MAP, keep(needed), needed, &model) != BP_OK) return 2;
    const bp_activations kinds[] = {BP_FLOAT32, BP_INT16, BP_INT8};
    for (unsigned kind = 0; kind < 3; ++kind) {
        if (with_one(model, kinds[kind]) != 0) return 2;
        for (uint32_t count = 2; count <= 4; ++count) {
            if (with_workers(model, kinds[kind], count) == 0) continue;
            fprintf(stderr, "threads: %u workers, activations %u: not the same\n", count, kind);
            return 1;
        }
    }
    puts("the same with any number of workers");
    return 0;
}
