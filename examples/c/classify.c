/* classify [-m BYTES] FILE INPUT.f32 [DIM ...]: runs a bitpress file on one input and prints the class with the largest
 * output.
 *
 * INPUT.f32 holds float32 values, little-endian, row-major, as many as the input has elements. Where the model leaves
 * dims open, give the shape: classify mlp.bp x.f32 1 784.
 * -m: take no more than BYTES for file, input, model, plan, arena and output; refuse before taking more.
 * It prints "class K", then a line of all outputs. Exit status: 0, 1 for bad input, 2 for wrong usage.
 *
 * main() is the only place that allocates: the library works in the memory that it is given.
 */
#include <bitpress/bitpress.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t memory_left = SIZE_MAX;

/* malloc within what -m leaves; NULL where that is too little. */
static void* take(size_t bytes) {
    void* memory = bytes > memory_left ? NULL : malloc(bytes > 0 ? bytes : 1);
    if (memory != NULL) memory_left -= bytes;
    return memory;
}

static int complain(const char* what, const char* why) {
    fprintf(stderr, "classify: %s: %s\n", what, why);
    return 1;
}

/* The whole file in memory, or NULL. */
static void* read_file(const char* path, size_t* bytes) {
    FILE* file = fopen(path, "rb");
    void* data = NULL;
    long size = -1;
    if (file == NULL) return NULL;
    if (fseek(file, 0, SEEK_END) == 0) size = ftell(file);
    if (size >= 0 && fseek(file, 0, SEEK_SET) == 0) data = take((size_t)size);
    if (data != NULL && fread(data, 1, (size_t)size, file) != (size_t)size) {
        free(data);
        data = NULL;
    }
    fclose(file);
    *bytes = (size_t)size;
    return data;
}

static size_t elements(const bp_shape* shape) {
    size_t count = 1;
    for (uint32_t d = 0; d < shape->rank; ++d) count *= (size_t)shape->dims[d];
    return count;
}

/* The input's shape: the model's, with what the caller gave where there are arguments. */
static int choose_shape(const bp_value* input, int count, char** arguments, bp_shape* shape) {
    if (count > BP_MAX_RANK) return 0;
    if (count > 0) {
        shape->rank = (uint32_t)count;
        for (int d = 0; d < count; ++d) shape->dims[d] = strtoll(arguments[d], NULL, 10);
    } else {
        if (input->rank > BP_MAX_RANK) return 0;
        shape->rank = input->rank;
        for (uint32_t d = 0; d < input->rank; ++d) shape->dims[d] = input->dims[d] == -1 ? 1 : input->dims[d];
    }
    for (uint32_t d = 0; d < shape->rank; ++d) {
        if (shape->dims[d] < 1 || shape->dims[d] > INT32_MAX) return 0;
    }
    return 1;
}

static void print_result(const float* y, size_t count) {
    size_t best = 0;
    for (size_t i = 1; i < count; ++i) best = y[i] > y[best] ? i : best;
    printf("class %zu\n", best);
    for (size_t i = 0; i < count; ++i) printf("%s%.9g", i == 0 ? "" : " ", (double)y[i]);
    printf("\n");
}

/* Everything that the library does, in memory that the caller frees through `held`. */
static int classify(const char* path, const void* file, size_t file_bytes, const void* x, size_t x_bytes, int dims,
                    char** dim_text, void* held[4]) {
    size_t bytes = 0;
    const bp_model* model = NULL;
    bp_status status = bp_model_size(file, file_bytes, BP_LOAD_MAP, &bytes);
    if (status != BP_OK) return complain(path, bp_message(status));
    held[0] = take(bytes);
    if (held[0] == NULL) return complain(path, "needs more memory");
    status = bp_model_open(file, file_bytes, BP_CHECK_FULL, BP_LOAD_MAP, held[0], bytes, &model);
    if (status != BP_OK) return complain(path, bp_message(status));

    bp_value input;
    bp_shape shape;
    if (bp_model_input_count(model) != 1 || bp_model_output_count(model) != 1) {
        return complain(path, "needs a model of one input and one output");
    }
    status = bp_model_input(model, 0, &input);
    if (status != BP_OK) return complain(path, bp_message(status));
    if (!choose_shape(&input, dims, dim_text, &shape)) return complain(path, "give the input's shape");
    if (elements(&shape) * sizeof(float) != x_bytes)
        return complain(path, "the input file's size does not fit the shape");

    const bp_session* session = NULL;
    bp_value output;
    status = bp_session_size(model, &bytes);
    if (status != BP_OK) return complain(path, bp_message(status));
    held[1] = take(bytes);
    if (held[1] == NULL) return complain(path, "needs more memory");
    status = bp_session_plan(model, &shape, 1, NULL, held[1], bytes, &session);
    if (status != BP_OK) return complain(path, bp_message(status));
    status = bp_session_output(session, 0, &output);
    if (status != BP_OK) return complain(path, bp_message(status));
    if (output.dtype != BP_F32) return complain(path, "its output is not float32");

    size_t count = 1;
    for (uint32_t d = 0; d < output.rank; ++d) count *= (size_t)output.dims[d];
    const size_t arena_bytes = bp_session_arena(session);
    held[2] = take(arena_bytes);
    held[3] = take(count * sizeof(float));
    if (held[2] == NULL || held[3] == NULL) return complain(path, "needs more memory");
    const bp_input in = {x, x_bytes};
    const bp_output out = {held[3], count * sizeof(float)};
    status = bp_run(session, &in, &out, held[2], arena_bytes, NULL);
    if (status != BP_OK) return complain(path, bp_message(status));
    fprintf(stderr, "classify: %zu bytes of file, %zu of arena\n", file_bytes, arena_bytes);
    print_result(held[3], count);
    return 0;
}

int main(int argc, char** argv) {
    if (argc > 2 && strcmp(argv[1], "-m") == 0) {
        const unsigned long long limit = strtoull(argv[2], NULL, 10);
        memory_left = limit < SIZE_MAX ? (size_t)limit : SIZE_MAX;
        argc -= 2;
        argv += 2;
    }
    if (argc < 3) {
        fprintf(stderr, "usage: classify [-m BYTES] FILE INPUT.f32 [DIM ...]\n");
        return 2;
    }
    size_t file_bytes = 0;
    size_t x_bytes = 0;
    void* held[4] = {NULL, NULL, NULL, NULL};
    void* file = read_file(argv[1], &file_bytes);
    void* x = read_file(argv[2], &x_bytes);
    int failed = file == NULL ? complain(argv[1], "cannot be read, or needs more memory")
                 : x == NULL  ? complain(argv[2], "cannot be read, or needs more memory")
                              : 0;
    if (!failed) failed = classify(argv[1], file, file_bytes, x, x_bytes, argc - 3, argv + 3, held);
    for (int i = 0; i < 4; ++i) free(held[i]);
    free(file);
    free(x);
    return failed;
}
