/* The ring of a worker, as ring_setup.c makes it and ring.c uses it. */
#ifndef VOS_RING_H
#define VOS_RING_H

#include "internal.h"

#include <linux/io_uring.h>

#define COMPLETIONS 8192
#define BUFFERS 1024u
#define OFFERED_FIRST 64u
#define SLOTS 16384u
#define NAME_ROOM sizeof(struct sockaddr_in6_room)
#define BUFFER_SIZE (sizeof(struct io_uring_recvmsg_out) + NAME_ROOM + VOS_PACKET_MAX)
/* Room behind a packet for what a transform adds; no multiple of a page, or all packets would share a few cache
 * lines. The longest packets are rare: of most buffers only the first page is ever there. */
#define STRIDE ((size_t)VOS_PACKET_MAX + 4096 + 192)

struct sockaddr_in6_room {
    uint8_t bytes[32]; /* a sockaddr_in6, kept aligned */
};

struct slot {
    struct vos_socket *socket; /* NULL: nobody's, or only waiting for its last answer */
    uint32_t next;             /* in the list of free slots or of those to arm; 0 ends it */
    bool armed, listed;        /* listed: in the kernel's table of files, under the slot's number */
};

struct vos_ring {
    struct vos_worker *worker;
    int fd;
    bool epoll_ready, epoll_armed;
    bool table;    /* the kernel keeps a table of our sockets */
    bool may_spin; /* the kernel says without a call that something came */
    bool spin;     /* the last wait was short */
    bool first;    /* the worker runs before all ordinary threads: they get no more of its core than it leaves */
    uint8_t *rings; /* both, in one mapping */
    size_t rings_size;
    struct io_uring_sqe *entries;
    uint32_t *sq_tail, *cq_head, *cq_tail, sq_mask, cq_mask, sq_local, to_submit;
    const uint32_t *sq_head, *sq_flags;
    const struct io_uring_cqe *completions;
    struct io_uring_buf_ring *free_buffers;
    uint16_t free_tail;
    uint8_t *memory;
    uint32_t offered, offer;  /* buffers that the kernel has to fill, and how many it shall have */
    uint32_t stock_count;
    uint16_t stock[BUFFERS];  /* free ones that it has not, the last used first */
    uint32_t at_hand, spent_count; /* at_hand: the buffer of worker->packet, or BUFFERS */
    bool kept;                     /* the buffer at hand waits for its sending */
    uint16_t spent[BUFFERS];       /* sendings that the next system call carries out */
    uint32_t lengths[BUFFERS];     /* of those */
    struct msghdr receive;
    uint32_t free_slots, to_arm, slots_used;
    struct slot slots[SLOTS];
};

static inline uint8_t *vos_ring_buffer(const struct vos_ring *ring, uint32_t index)
{
    return ring->memory + (size_t)index * STRIDE;
}

/* ring_setup.c */
void vos_ring_offer(struct vos_ring *ring);
void vos_ring_list(struct vos_ring *ring, uint32_t index, int fd);
void vos_ring_unlist(struct vos_ring *ring, uint32_t index);

#endif
