/* bitpress.h: open a bitpress file and run the network in it. A C ABI; libc and libm are all it needs.
 *
 * No function allocates, prints, aborts or keeps global state: all memory is the caller's, and its size is asked first.
 *
 *     bp_model_size(file, n, BP_LOAD_MAP, &bytes)
 *         ->  bp_model_open(file, n, BP_CHECK_FULL, BP_LOAD_MAP, memory, bytes, &model)
 *     bp_session_size(model, &bytes)
 *         ->  bp_session_plan(model, shapes, count, NULL, memory, bytes, &session)
 *     bp_session_arena(session)             ->  bp_run(session, inputs, outputs, arena, bytes, NULL)
 *
 * Ownership. `file` must outlive the model; the model's memory must outlive its sessions; a session's memory must
 * outlive its runs. None of them may be moved or written meanwhile. There is nothing to close: let go of the memory.
 * Alignment. `file`, `memory` and `arena` may begin at any address; inputs and outputs at a multiple of their element's
 * size. Raw weights are read where they stand in `file`: keep it mapped or in flash.
 * Threads. A model and a session are never written after they are made: any number of threads may use them at once,
 * each run with its own arena and outputs. The library starts none; a run may share its work among workers that the
 * caller lends (bp_workers). Errors. Every function returns BP_OK or says why not; bp_message turns that into one line.
 * On any other status the outputs of the function are not set, and the content of memory, arena and result buffers is
 * unspecified. A file may be forged in any way: it is checked before anything is believed. Environment. BITPRESS_ISA,
 * where set, forces an instruction set; one that the CPU lacks makes functions return BP_UNSUPPORTED.
 */
#ifndef BITPRESS_BITPRESS_H
#define BITPRESS_BITPRESS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows where a declaration of this header changes its meaning or layout. bp_abi_version() is the library's. */
#define BP_ABI_VERSION 3
uint32_t bp_abi_version(void);

/* Numbers are never reused; new ones may be appended. */
typedef enum bp_status {
    BP_OK = 0,
    BP_TRUNCATED = 1,        /* the input ends before what it announces */
    BP_CORRUPT = 2,          /* the input contradicts itself or its checksum */
    BP_UNSUPPORTED = 3,      /* of a version or kind that this build does not know */
    BP_TOO_LARGE = 4,        /* a size, count, ratio or depth is over the limit */
    BP_BAD_ARGUMENT = 5,     /* the caller's argument, or an operator's attribute, is wrong */
    BP_OUTPUT_TOO_SMALL = 6, /* the output cannot hold the result */
    BP_MEMORY_TOO_SMALL = 7, /* the memory given is smaller than what was asked for */
    BP_NOT_FINITE = 8,       /* NaN or infinity where a number is needed */
    BP_BAD_SHAPE = 9,        /* the shapes do not fit */
    BP_OUT_OF_RANGE = 10,    /* an index is outside its tensor */
    BP_RESAVED = 11          /* another tool rewrote the file: its manifest moved or its alignment is lost */
} bp_status;
/* One line of English, in static storage; never NULL. */
const char* bp_message(bp_status status);

typedef struct bp_model bp_model;
typedef struct bp_session bp_session;

/* BP_CHECK_FULL verifies the checksum of every stored byte. BP_CHECK_NONE still refuses whatever could make reading or
 * running unsafe, but a flipped bit in a weight then goes unseen. */
typedef enum bp_check { BP_CHECK_NONE = 0, BP_CHECK_FULL = 1 } bp_check;

/* BP_LOAD_MAP: raw weights are read where they stand in the file, coded ones are decoded once, all stay packed.
 * BP_LOAD_TILE: large coded ones are left coded, and decoded into the arena by the step that reads them, in every run:
 * less memory, more time. BP_LOAD_UNPACK: weights are dequantized to float32 once: more memory, less time. */
typedef enum bp_load { BP_LOAD_MAP = 0, BP_LOAD_TILE = 1, BP_LOAD_UNPACK = 2 } bp_load;

/* Activations that meet packed integer weights are rounded to 16 bits and multiplied as integers; BP_INT8: to 8 bits
 * where the weights have 2 to 4, in Gemm and MatMul. */
typedef enum bp_activations { BP_FLOAT32 = 0, BP_INT16 = 1, BP_INT8 = 2 } bp_activations;

#define BP_MAX_RANK 8
/* Element types that inputs and outputs can have, as the file numbers them. */
#define BP_BOOL 0 /* one byte, 0 or 1 */
#define BP_U8 1
#define BP_I8 2
#define BP_I16 5
#define BP_U16 6
#define BP_I32 9
#define BP_U32 10
#define BP_F32 11
#define BP_I64 12
#define BP_U64 13
#define BP_F64 14

/* An input or an output. */
typedef struct bp_value {
    const char* name; /* UTF-8, not terminated; in the file's bytes */
    size_t name_bytes;
    uint32_t dtype;            /* one of the above */
    uint32_t rank;             /* 0xFFFFFFFF where the model does not say; then dims mean nothing */
    int64_t dims[BP_MAX_RANK]; /* -1 where the model does not say */
} bp_value;

/* Bytes of memory that bp_model_open needs for this file, loaded so. */
bp_status bp_model_size(const void* file, size_t file_bytes, bp_load load, size_t* memory_bytes);
bp_status bp_model_open(const void* file, size_t file_bytes, bp_check check, bp_load load, void* memory,
                        size_t memory_bytes, const bp_model** model);

uint32_t bp_model_input_count(const bp_model* model);
uint32_t bp_model_output_count(const bp_model* model);
/* BP_BAD_ARGUMENT where there is no such input or output. */
bp_status bp_model_input(const bp_model* model, uint32_t index, bp_value* value);
bp_status bp_model_output(const bp_model* model, uint32_t index, bp_value* value);

typedef struct bp_shape {
    uint32_t rank;
    int64_t dims[BP_MAX_RANK]; /* each at least 1 */
} bp_shape;

#define BP_MAX_WORKERS 64
/* How a session runs. All zeros, or NULL in its place: float32, one worker. */
typedef struct bp_options {
    bp_activations activations;
    uint32_t workers; /* at most BP_MAX_WORKERS that may share a run, each with scratch of its own in the arena */
} bp_options;

/* Bytes of memory that bp_session_plan needs, for any shapes. */
bp_status bp_session_size(const bp_model* model, size_t* memory_bytes);
/* One shape an input, in the order of bp_model_input. To run with other shapes, plan another session (in the same
 * memory where the old one is no longer used). BP_BAD_SHAPE: the shapes do not fit the model. */
bp_status bp_session_plan(const bp_model* model, const bp_shape* shapes, uint32_t count, const bp_options* options,
                          void* memory, size_t memory_bytes, const bp_session** session);
/* Bytes of arena that bp_run needs, and how many of them at most hold dequantized or decoded weights at a time. */
size_t bp_session_arena(const bp_session* session);
size_t bp_session_tile(const bp_session* session);
/* The output with its planned shape: the largest, where data decide how large it is. */
bp_status bp_session_output(const bp_session* session, uint32_t index, bp_value* value);
/* The output with the shape that it had in the run before, in that run's arena, which has not changed since. */
bp_status bp_run_output(const bp_session* session, uint32_t index, void* arena, size_t arena_bytes, bp_value* value);

typedef struct bp_input {
    const void* data;
    size_t bytes; /* exactly the input's size */
} bp_input;

typedef struct bp_output {
    void* data;
    size_t bytes; /* exactly the planned output's size */
} bp_output;

/* Threads, cores or tasks of the caller's, for the time of a run. `run` calls task(argument, i) once for each i < parts
 * (at most count), in any order and side by side as it likes, on the caller's thread too, and returns when all have
 * returned and what they wrote can be seen. <bitpress/threads.h> has some that POSIX threads run. */
typedef struct bp_workers {
    uint32_t count;
    void* self; /* handed to run */
    void (*run)(void* self, uint32_t parts, void (*task)(void* argument, uint32_t part), void* argument);
} bp_workers;

/* One entry an input and an output of the model, in order, row-major (an output that is smaller than planned fills the
 * beginning of its buffer). Outputs overlap neither inputs nor each other.
 * workers: NULL, and the calling thread does it all; no more of them are used than the session was planned for. The
 * first run of a session and every later one with the same inputs give the same bytes on the same CPU, with any number
 * of workers. */
bp_status bp_run(const bp_session* session, const bp_input* inputs, const bp_output* outputs, void* arena,
                 size_t arena_bytes, const bp_workers* workers);

#ifdef __cplusplus
}
#endif

#endif
