/* Copies of a recorded call's packets, as records on a socket that the host reads; a full one loses records, never
 * a packet of the call. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define TAP_BUFFER (4 << 20)

static int ends[2] = {-1, -1}; /* the host's, the workers' */
static atomic_ullong lost;

int vos_tap_open(void)
{
    int size = TAP_BUFFER;
    if (ends[0] >= 0)
        return ends[0];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
        return -errno;
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return ends[0];
}

void vos_tap_close(void)
{
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
        ends[i] = -1;
    }
}

uint64_t vos_tap_lost(void)
{
    return atomic_load(&lost);
}

void vos_tap(const struct vos_stream *stream, const struct vos_addr *from, const struct vos_addr *to,
             const uint8_t *packet, size_t length)
{
    if (!stream->tapped)
        return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct vos_record record = {.stream = stream->id,
                                .time_us = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u,
                                .from = *from,
                                .to = *to};
    struct iovec parts[2] = {{&record, sizeof record}, {(void *)(uintptr_t)packet, length}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (sendmsg(ends[1], &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        atomic_fetch_add(&lost, 1);
}
