/* A network on a machine that has nothing: no libc, no start-up code, no heap, no files. What the library needs is the
 * mem* and str* functions below, and libm (BITPRESS_MINIMAL). Exit status 0 where the numbers are right.
 *
 * Linux' system call to exit is the one thing that it asks of the kernel (x86-64); the model is part of the program.
 */
#include <bitpress/bitpress.h>

void* memcpy(void* to, const void* from, size_t n) {
    for (size_t i = 0; i < n; ++i) ((unsigned char*)to)[i] = ((const unsigned char*)from)[i];
    return to;
}
void* memmove(void* to, const void* from, size_t n) {
    unsigned char* a = to;
    const unsigned char* b = from;
    for (size_t i = 0; i < n; ++i) {
        const size_t k = a < b ? i : n - 1 - i;
        a[k] = b[k];
    }
    return to;
}
void* memset(void* to, int value, size_t n) {
    for (size_t i = 0; i < n; ++i) ((unsigned char*)to)[i] = (unsigned char)value;
    return to;
}
int memcmp(const void* a, const void* b, size_t n) {
    const unsigned char* x = a;
    const unsigned char* y = b;
    for (size_t i = 0; i < n; ++i) {
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    }
    return 0;
}
void* memchr(const void* in, int value, size_t n) {
    unsigned char* bytes = (unsigned char*)in;
    for (size_t i = 0; i < n; ++i) {
        if (bytes[i] == (unsigned char)value) return bytes + i;
    }
    return NULL;
}
size_t strlen(const char* text) {
    size_t n = 0;
    while (text[n] != '\0') ++n;
    return n;
}
int strcmp(const char* a, const char* b) {
    while (*a != '\0' && *a == *b) ++a, ++b;
    return (unsigned char)*a - (unsigned char)*b;
}

/* The file, linked into the program as into a device's flash. */
extern const unsigned char mlp_begin[];
extern const unsigned char mlp_end[];
__asm__(".section .rodata\n.balign 64\n.global mlp_begin\nmlp_begin:\n.incbin \"" MLP
        "\"\n.global mlp_end\nmlp_end:\n.previous\n");

static _Alignas(64) unsigned char pool[262144];

static int run(void) {
    static const float x[4] = {1.0F, -2.0F, 0.5F, 3.0F};
    static const float want[3] = {
#include "mlp.expected"
    };
    const size_t n = (size_t)(mlp_end - mlp_begin);
    const bp_model* model = NULL;
    const bp_session* session = NULL;
    const bp_shape shape = {2, {1, 4}};
    size_t model_bytes = 0;
    size_t plan_bytes = 0;
    float y[3] = {0};
    if (bp_model_size(mlp_begin, n, BP_LOAD_MAP, &model_bytes) != BP_OK || model_bytes > sizeof pool) return 1;
    if (bp_model_open(mlp_begin, n, BP_CHECK_FULL, BP_LOAD_MAP, pool, model_bytes, &model) != BP_OK) return 2;
    if (bp_session_size(model, &plan_bytes) != BP_OK || plan_bytes > sizeof pool - model_bytes) return 3;
    unsigned char* plan = pool + model_bytes;
    if (bp_session_plan(model, &shape, 1, NULL, plan, plan_bytes, &session) != BP_OK) return 4;
    if (bp_session_arena(session) > sizeof pool - model_bytes - plan_bytes) return 5;
    const bp_input in = {x, sizeof x};
    const bp_output out = {y, sizeof y};
    if (bp_run(session, &in, &out, plan + plan_bytes, bp_session_arena(session), NULL) != BP_OK) return 6;
    for (int i = 0; i < 3; ++i) {
        if (y[i] - want[i] > 1e-4F || want[i] - y[i] > 1e-4F) return 7;
    }
    return 0;
}

static _Noreturn void leave(int status) {
    __asm__ volatile("syscall" : : "a"(60L), "D"((long)status) : "rcx", "r11", "memory");
    __builtin_unreachable();
}

/* What start-up code does before main: the library fills its table of kernels there. */
typedef void initializer(void);
extern initializer* const __init_array_start[];
extern initializer* const __init_array_end[];

/* Where the kernel begins; the stack is aligned as a function that was called finds it. */
__attribute__((used)) _Noreturn void begin(void) {
    for (initializer* const* each = __init_array_start; each != __init_array_end; ++each) (*each)();
    leave(run());
}
__asm__(".global _start\n_start:\n xor %ebp, %ebp\n and $-16, %rsp\n call begin\n");
