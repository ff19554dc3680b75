/* Packet indices of one SSRC: what a sequence number stands for, and which indices have been used (RFC 3711 §3.3). */
#ifndef VOS_WINDOW_H
#define VOS_WINDOW_H

#include <errno.h>

#include "internal.h"

#define WINDOW 128

/* The indices that have been used, up to the highest. */
struct window {
    bool begun;
    uint64_t top;
    __uint128_t seen; /* bit n: top - n */
};

/* The index that a sequence number stands for (RFC 3711 appendix A), or a negative errno. */
static inline int64_t index_of(const struct window *window, uint16_t sequence)
{
    if (!window || !window->begun)
        return sequence;
    int64_t cycle = (int64_t)(window->top >> 16);
    int32_t ahead = (int32_t)sequence - (int32_t)(window->top & 0xffff);
    if (ahead > 0x8000)
        cycle--;
    else if (ahead < -0x8000)
        cycle++;
    return cycle < 0 || cycle >> 32 ? -EBADMSG : cycle << 16 | sequence;
}

static inline bool used(const struct window *window, uint64_t index)
{
    if (!window || !window->begun || index > window->top)
        return false;
    return window->top - index >= WINDOW || (window->seen >> (window->top - index) & 1);
}

static inline void use(struct window *window, uint64_t index)
{
    if (!window->begun || index > window->top) {
        uint64_t ahead = window->begun ? index - window->top : WINDOW;
        window->seen = ahead < WINDOW ? window->seen << ahead : 0;
        window->top = index;
        window->begun = true;
    }
    window->seen |= (__uint128_t)1 << (window->top - index);
}

#endif
