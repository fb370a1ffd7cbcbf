/* Workers by POSIX threads. One word says what there is to do: which job (it counts up), how many parts it has, and how
 * many of them somebody has taken; whoever raises the last number by one does that part. A thread that comes late finds
 * nothing left, and nobody waits for it. */
#define _POSIX_C_SOURCE 200809L /* NOLINT(bugprone-reserved-identifier): it is POSIX that reserves it */
#include <bitpress/threads.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

typedef void (*task_function)(void* argument, uint32_t part);

struct bp_threads {
    /* job << 16 | parts << 8 | taken: on 32 bits too, where the job's number wraps after 65,536 of them. */
    _Alignas(64) atomic_uint_least32_t word;
    _Alignas(64) atomic_uint_least32_t done; /* parts of this job */
    task_function task;                      /* what follows is written while no part is left to take */
    void* argument;
    atomic_flag busy;
    _Alignas(64) atomic_uint_least32_t sleepers;
    atomic_bool stop;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    uint32_t count;      /* workers, the caller among them */
    pthread_t threads[]; /* count - 1 */
};

enum { PATIENCE = 50000 }; /* nanoseconds of looking before a thread sleeps */

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
    __asm__ volatile("yield");
#endif
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static uint32_t parts_of(uint32_t word) { return word >> 8 & 255; }
static uint32_t taken_of(uint32_t word) { return word & 255; }
static int has_part(uint32_t word) { return taken_of(word) < parts_of(word); }

/* Does parts of the job at hand until none is left. */
static void work(bp_threads* threads) {
    uint_least32_t word = atomic_load(&threads->word);
    while (has_part(word)) {
        if (!atomic_compare_exchange_weak(&threads->word, &word, word + 1)) continue;
        /* The part is ours, so this job cannot end before it is done, and task and argument stay. */
        threads->task(threads->argument, taken_of(word));
        atomic_fetch_add(&threads->done, 1);
        word = atomic_load(&threads->word);
    }
}

/* Whether there may be work; 0 where none came for some time. */
static int look(bp_threads* threads) {
    const int64_t end = now() + PATIENCE;
    do {
        for (int i = 0; i < 64; ++i) {
            if (has_part(atomic_load_explicit(&threads->word, memory_order_relaxed))) return 1;
            pause_briefly();
        }
    } while (now() < end);
    return 0;
}

static void sleep_until_woken(bp_threads* threads) {
    pthread_mutex_lock(&threads->mutex);
    atomic_fetch_add(&threads->sleepers, 1);
    while (!has_part(atomic_load(&threads->word)) && !atomic_load(&threads->stop))
        pthread_cond_wait(&threads->wake, &threads->mutex);
    atomic_fetch_sub(&threads->sleepers, 1);
    pthread_mutex_unlock(&threads->mutex);
}

static void* live(void* self) {
    bp_threads* threads = self;
    while (!atomic_load(&threads->stop)) {
        work(threads);
        if (!look(threads)) sleep_until_woken(threads);
    }
    return NULL;
}

static void wake_all(bp_threads* threads) {
    pthread_mutex_lock(&threads->mutex);
    pthread_cond_broadcast(&threads->wake);
    pthread_mutex_unlock(&threads->mutex);
}

static void run(void* self, uint32_t parts, task_function task, void* argument) {
    bp_threads* threads = self;
    if (atomic_flag_test_and_set(&threads->busy)) { /* another run has the threads */
        for (uint32_t i = 0; i < parts; ++i) task(argument, i);
        return;
    }
    threads->task = task;
    threads->argument = argument;
    atomic_store(&threads->done, 0);
    const uint32_t job = (atomic_load(&threads->word) >> 16) + 1;
    atomic_store(&threads->word, job << 16 | parts << 8);
    /* A thread counts itself asleep before it looks at the word for the last time: one of us sees the other. */
    if (atomic_load(&threads->sleepers) > 0) wake_all(threads);
    work(threads);
    for (uint32_t spins = 0; atomic_load(&threads->done) < parts; ++spins) {
        if (spins < 4096) {
            pause_briefly();
        } else { /* whoever has the last part is not running: leave it the core */
            const struct timespec briefly = {0, 20000};
            nanosleep(&briefly, NULL);
        }
    }
    atomic_flag_clear(&threads->busy);
}

size_t bp_threads_bytes(uint32_t count) {
    return sizeof(bp_threads) + (count > 1 ? count - 1 : 0) * sizeof(pthread_t) + 64;
}

bp_threads* bp_threads_start(void* memory, uint32_t count) {
    if (memory == NULL || count < 1 || count > BP_MAX_WORKERS) return NULL;
    bp_threads* threads = (void*)(((uintptr_t)memory + 63) / 64 * 64);
    memset(threads, 0, sizeof *threads);
    atomic_init(&threads->word, 0);
    atomic_init(&threads->done, 0);
    atomic_init(&threads->sleepers, 0);
    atomic_init(&threads->stop, 0);
    atomic_flag_clear(&threads->busy);
    threads->count = 1;
    if (pthread_mutex_init(&threads->mutex, NULL) != 0) return NULL;
    if (pthread_cond_init(&threads->wake, NULL) != 0) {
        pthread_mutex_destroy(&threads->mutex);
        return NULL;
    }
    while (threads->count < count && pthread_create(&threads->threads[threads->count - 1], NULL, live, threads) == 0)
        ++threads->count;
    return threads;
}

void bp_threads_stop(bp_threads* threads) {
    atomic_store(&threads->stop, 1);
    wake_all(threads);
    for (uint32_t i = 0; i + 1 < threads->count; ++i) pthread_join(threads->threads[i], NULL);
    pthread_cond_destroy(&threads->wake);
    pthread_mutex_destroy(&threads->mutex);
}

bp_workers bp_threads_workers(bp_threads* threads) {
    const bp_workers workers = {threads->count, threads, run};
    return workers;
}
