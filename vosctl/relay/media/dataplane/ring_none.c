/* The ring of a build whose kernel headers are older than Linux 6.1: there is none, and epoll holds the media. */
#include "internal.h"

#include <linux/io_uring.h>

#ifndef IORING_SETUP_DEFER_TASKRUN

struct vos_ring *vos_ring_new(struct vos_worker *worker)
{
    (void)worker;
    return NULL;
}

void vos_ring_free(struct vos_ring *ring)
{
    (void)ring;
}

bool vos_ring_watch(struct vos_ring *ring, struct vos_socket *socket)
{
    (void)ring, (void)socket;
    return false;
}

void vos_ring_leave(struct vos_ring *ring, struct vos_socket *socket)
{
    (void)ring, (void)socket;
}

bool vos_ring_wait(struct vos_ring *ring, int timeout_ms)
{
    (void)ring, (void)timeout_ms;
    return true;
}

bool vos_ring_send(struct vos_ring *ring, const struct vos_socket *out, const uint8_t *packet, size_t length)
{
    (void)ring, (void)out, (void)packet, (void)length;
    return false;
}

bool vos_ring_empty(const struct vos_ring *ring)
{
    (void)ring;
    return true;
}

bool vos_ring_may_spin(const struct vos_ring *ring)
{
    (void)ring;
    return false;
}

#endif
