/* bitpress/threads.h: POSIX threads as the workers of bp_run. A library of its own (libbitpress_threads, CMake target
 * bitpress::threads): bitpress itself starts no thread, and knows only bp_workers, which a program may fill otherwise.
 *
 *     memory of bp_threads_bytes(2) bytes  ->  bp_threads_start(memory, 2)
 *     bp_workers workers = bp_threads_workers(memory);     bp_run(.., &workers);
 *     bp_threads_stop(memory)
 *
 * Between two pieces of work a thread looks for the next one for some 50 microseconds, then sleeps until it is woken.
 * Whoever calls bp_run works too, and never waits for a thread that has not begun. A child of fork() has none of the
 * threads: it starts its own, in other memory.
 */
#ifndef BITPRESS_THREADS_H
#define BITPRESS_THREADS_H

#include <bitpress/bitpress.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bp_threads bp_threads;

/* Bytes of memory for `count` workers, 1 to BP_MAX_WORKERS: the caller of bp_run, and count - 1 threads. */
size_t bp_threads_bytes(uint32_t count);
/* Starts the threads. memory: aligned as malloc's, and not moved until they are stopped. NULL where the count is out of
 * range. Where the system gives fewer threads, there are fewer workers. */
bp_threads* bp_threads_start(void* memory, uint32_t count);
/* Ends and joins them; no run may be using them. */
void bp_threads_stop(bp_threads* threads);
/* For runs one at a time: a second thread that runs at the same moment works alone. */
bp_workers bp_threads_workers(bp_threads* threads);

#ifdef __cplusplus
}
#endif

#endif
