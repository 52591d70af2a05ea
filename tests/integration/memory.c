/* Every size, alignment and overlap that a branch of memory.c depends on, against byte by byte. */
#define memcpy fast_memcpy
#define memmove fast_memmove
#define memset fast_memset
#include "../../handlers/musl/memory.c"
#undef memcpy
#undef memmove
#undef memset
#include <stdio.h>

enum { ROOM = 3 * 8192 };
static unsigned char source[ROOM], expected[ROOM], found[ROOM];

static void fill(unsigned char *bytes, unsigned seed) {
    for (size_t at = 0; at < ROOM; at++) {
        seed = seed * 1103515245u + 12345u;
        bytes[at] = (unsigned char)(seed >> 16);
    }
}

static int differs(const char *name, size_t n, size_t from, size_t to) {
    for (size_t at = 0; at < ROOM; at++) {
        if (expected[at] != found[at]) {
            printf("%s of %zu bytes from %zu to %zu differs at %zu\n", name, n, from, to, at);
            return 1;
        }
    }
    return 0;
}

static int check(size_t n, size_t from, size_t to) {
    fill(source, 1);
    fill(expected, 2);
    fill(found, 2);
    for (size_t at = 0; at < n; at++) expected[to + at] = source[from + at];
    if (fast_memcpy(found + to, source + from, n) != found + to || differs("memcpy", n, from, to)) return 1;

    fill(expected, 3);
    fill(found, 3);
    if (to < from) {
        for (size_t at = 0; at < n; at++) expected[to + at] = expected[from + at];
    } else {
        for (size_t at = n; at-- > 0;) expected[to + at] = expected[from + at];
    }
    if (fast_memmove(found + to, found + from, n) != found + to || differs("memmove", n, from, to)) return 1;

    for (size_t at = 0; at < n; at++) expected[to + at] = (unsigned char)(n + 0x80);
    if (fast_memset(found + to, (int)(n + 0x80), n) != found + to || differs("memset", n, from, to)) return 1;
    return 0;
}

int main(void) {
    static const size_t sizes[] = {191, 192, 193, 255, 256, 257, 320, 1000, 4095, 4096, 4097, 8000};
    static const size_t shifts[] = {0, 1, 7, 15, 16, 17, 63, 64, 65, 127, 128, 129, 4000};
    for (size_t n = 0; n < 160 + sizeof sizes / sizeof *sizes; n++) {
        size_t size = n < 160 ? n : sizes[n - 160];
        for (size_t shift = 0; shift < sizeof shifts / sizeof *shifts; shift++) {
            size_t near = 64 + n % 16;
            if (check(size, near, near + shifts[shift]) || check(size, near + shifts[shift], near)) return 1;
        }
    }
    return 0;
}
