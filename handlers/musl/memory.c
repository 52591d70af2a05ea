/* memcpy, memmove and memset for the static executable.
 *
 * musl's own begin with `rep movsq`, which takes some tens of cycles before it moves the first byte. This program
 * copies small things all the time, and of ArchiveTelemetry's samples a third were there: measured on the published
 * build, where these take the place of musl's when it is linked.
 *
 * Short blocks are moved with two loads that may overlap; both are done before the stores, so that memmove needs
 * nothing else. Long ones go 64 bytes at a time, very long ones by `rep movsb`, which is best at those. Compiled so
 * that the compiler does not recognize a copy here and call memcpy for it. */
#include <stddef.h>
#include <stdint.h>

typedef uint16_t __attribute__((may_alias, aligned(1))) u16;
typedef uint32_t __attribute__((may_alias, aligned(1))) u32;
typedef uint64_t __attribute__((may_alias, aligned(1))) u64;
typedef long long __attribute__((vector_size(16), may_alias, aligned(1))) v16;

/* From here on the processor's own loop is faster than ours. */
enum { VERY_LONG = 4096 };

/* Up to 128 bytes, which may overlap. */
static inline __attribute__((always_inline)) void move_short(unsigned char *to, const unsigned char *from, size_t n) {
    if (n >= 16) {
        if (n <= 32) {
            v16 a = *(const v16 *)from, b = *(const v16 *)(from + n - 16);
            *(v16 *)to = a;
            *(v16 *)(to + n - 16) = b;
        } else if (n <= 64) {
            v16 a = *(const v16 *)from, b = *(const v16 *)(from + 16);
            v16 y = *(const v16 *)(from + n - 32), z = *(const v16 *)(from + n - 16);
            *(v16 *)to = a;
            *(v16 *)(to + 16) = b;
            *(v16 *)(to + n - 32) = y;
            *(v16 *)(to + n - 16) = z;
        } else {
            v16 a = *(const v16 *)from, b = *(const v16 *)(from + 16);
            v16 c = *(const v16 *)(from + 32), d = *(const v16 *)(from + 48);
            v16 w = *(const v16 *)(from + n - 64), x = *(const v16 *)(from + n - 48);
            v16 y = *(const v16 *)(from + n - 32), z = *(const v16 *)(from + n - 16);
            *(v16 *)to = a;
            *(v16 *)(to + 16) = b;
            *(v16 *)(to + 32) = c;
            *(v16 *)(to + 48) = d;
            *(v16 *)(to + n - 64) = w;
            *(v16 *)(to + n - 48) = x;
            *(v16 *)(to + n - 32) = y;
            *(v16 *)(to + n - 16) = z;
        }
    } else if (n >= 8) {
        uint64_t a = *(const u64 *)from, b = *(const u64 *)(from + n - 8);
        *(u64 *)to = a;
        *(u64 *)(to + n - 8) = b;
    } else if (n >= 4) {
        uint32_t a = *(const u32 *)from, b = *(const u32 *)(from + n - 4);
        *(u32 *)to = a;
        *(u32 *)(to + n - 4) = b;
    } else if (n >= 2) {
        uint16_t a = *(const u16 *)from, b = *(const u16 *)(from + n - 2);
        *(u16 *)to = a;
        *(u16 *)(to + n - 2) = b;
    } else if (n) {
        *to = *from;
    }
}

/* More than 128 bytes; `to` is not inside what is still to be read. */
static inline __attribute__((always_inline)) void move_forward(unsigned char *to, const unsigned char *from, size_t n) {
    const unsigned char *last_from = from + n - 64;
    unsigned char *last_to = to + n - 64;
    v16 w = *(const v16 *)last_from, x = *(const v16 *)(last_from + 16);
    v16 y = *(const v16 *)(last_from + 32), z = *(const v16 *)(last_from + 48);
    do {
        v16 a = *(const v16 *)from, b = *(const v16 *)(from + 16);
        v16 c = *(const v16 *)(from + 32), d = *(const v16 *)(from + 48);
        *(v16 *)to = a;
        *(v16 *)(to + 16) = b;
        *(v16 *)(to + 32) = c;
        *(v16 *)(to + 48) = d;
        from += 64;
        to += 64;
    } while (to < last_to);
    *(v16 *)last_to = w;
    *(v16 *)(last_to + 16) = x;
    *(v16 *)(last_to + 32) = y;
    *(v16 *)(last_to + 48) = z;
}

/* More than 128 bytes, from the end. */
static inline void move_backward(unsigned char *to, const unsigned char *from, size_t n) {
    v16 w = *(const v16 *)from, x = *(const v16 *)(from + 16);
    v16 y = *(const v16 *)(from + 32), z = *(const v16 *)(from + 48);
    size_t at = n;
    do {
        at -= 64;
        v16 a = *(const v16 *)(from + at), b = *(const v16 *)(from + at + 16);
        v16 c = *(const v16 *)(from + at + 32), d = *(const v16 *)(from + at + 48);
        *(v16 *)(to + at) = a;
        *(v16 *)(to + at + 16) = b;
        *(v16 *)(to + at + 32) = c;
        *(v16 *)(to + at + 48) = d;
    } while (at > 64);
    *(v16 *)to = w;
    *(v16 *)(to + 16) = x;
    *(v16 *)(to + 32) = y;
    *(v16 *)(to + 48) = z;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    if (n <= 128) {
        move_short(to, from, n);
    } else if (n < VERY_LONG) {
        move_forward(to, from, n);
    } else {
        void *at = to;
        __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
    }
    return to;
}

void *memmove(void *to, const void *from, size_t n) {
    if (n <= 128) {
        move_short(to, from, n);
    } else if ((uintptr_t)to - (uintptr_t)from >= n) {
        /* It does not begin inside the source: forward never overwrites what is still to be read. */
        move_forward(to, from, n);
    } else {
        move_backward(to, from, n);
    }
    return to;
}

void *memset(void *to, int value, size_t n) {
    unsigned char *bytes = to;
    uint64_t eight = 0x0101010101010101u * (unsigned char)value;
    v16 sixteen = {(long long)eight, (long long)eight};
    if (n >= 16) {
        if (n >= VERY_LONG) {
            __asm__ volatile("rep stosb" : "+D"(bytes), "+c"(n) : "a"(value) : "memory");
            return to;
        }
        *(v16 *)(bytes + n - 16) = sixteen;
        for (size_t at = 0; at + 16 < n; at += 16) *(v16 *)(bytes + at) = sixteen;
    } else if (n >= 8) {
        *(u64 *)bytes = eight;
        *(u64 *)(bytes + n - 8) = eight;
    } else if (n >= 4) {
        *(u32 *)bytes = (uint32_t)eight;
        *(u32 *)(bytes + n - 4) = (uint32_t)eight;
    } else if (n >= 2) {
        *(u16 *)bytes = (uint16_t)eight;
        *(u16 *)(bytes + n - 2) = (uint16_t)eight;
    } else if (n) {
        *bytes = (unsigned char)value;
    }
    return to;
}
