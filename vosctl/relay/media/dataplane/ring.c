/* Media through io_uring: the kernel puts packets into buffers of ours, and what is to be sent goes to it in batches.
 *
 * Each socket has one receive request that answers again and again, into whichever buffer is free. A packet is
 * rewritten where it stands, and its sending is queued from there; the next system call sends the whole batch
 * and fetches what has come meanwhile. UDP takes a packet or refuses it on the spot, so that after that call a
 * buffer is free again, once it is known that its sending did not fail.
 *
 * Answers name a slot, never a stream: a slot whose stream has gone is kept until its last answer is in.
 * Everything else that a worker waits for stays in its epoll set, which the ring watches as one more descriptor.
 * Without io_uring, or with one older than Linux 6.1, the epoll set holds the media too. */
#include "internal.h"

#include <linux/io_uring.h>

#ifdef IORING_SETUP_DEFER_TASKRUN /* else ring_none.c */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SUBMISSIONS 1024
#define COMPLETIONS 8192
#define BUFFERS 1024u
#define SLOTS 16384u
#define NAME_ROOM sizeof(struct sockaddr_in6_room)
#define BUFFER_SIZE (sizeof(struct io_uring_recvmsg_out) + NAME_ROOM + VOS_PACKET_MAX)
/* Room behind a packet for what a transform adds; no multiple of a page, or all packets would share a few cache
 * lines. The longest packets are rare: of most buffers only the first page is ever there. */
#define STRIDE ((size_t)VOS_PACKET_MAX + 4096 + 192)

struct sockaddr_in6_room {
    uint8_t bytes[32]; /* a sockaddr_in6, kept aligned */
};

/* What a completion is about: the highest byte of its user_data; slot and buffer are below. */
enum { RECEIVED = 1, SENT, CANCELLED, EPOLL };
#define TAG(what, slot, buffer) ((uint64_t)(what) << 56 | (uint64_t)(slot) << 16 | (buffer))

struct slot {
    struct vos_socket *socket; /* NULL: nobody's, or only waiting for its last answer */
    uint32_t next;             /* in the list of free slots or of those to arm; 0 ends it */
    bool armed;
};

struct vos_ring {
    struct vos_worker *worker;
    int fd;
    bool epoll_ready, epoll_armed;
    uint8_t *rings; /* both, in one mapping */
    size_t rings_size;
    struct io_uring_sqe *entries;
    uint32_t *sq_tail, *cq_head, *cq_tail, sq_mask, cq_mask, sq_local, to_submit;
    const uint32_t *sq_head;
    const struct io_uring_cqe *completions;
    struct io_uring_buf_ring *free_buffers;
    uint16_t free_tail;
    uint8_t *memory;
    uint32_t at_hand, spent_count;  /* at_hand: the buffer of worker->packet, or BUFFERS */
    bool kept;                      /* the buffer at hand waits for its sending */
    uint16_t spent[BUFFERS];        /* sendings that the next system call carries out */
    uint32_t lengths[BUFFERS];      /* of those */
    struct msghdr receive;
    uint32_t free_slots, to_arm, slots_used;
    struct slot slots[SLOTS];
};

static int enter(const struct vos_ring *ring, uint32_t submit, uint32_t wait, uint32_t flags, const void *argument,
                 size_t size)
{
    return (int)syscall(__NR_io_uring_enter, ring->fd, submit, wait, flags, argument, size);
}

static uint8_t *buffer(const struct vos_ring *ring, uint32_t index)
{
    return ring->memory + (size_t)index * STRIDE;
}

static void give_back(struct vos_ring *ring, uint32_t index)
{
    struct io_uring_buf *entry = &ring->free_buffers->bufs[ring->free_tail & (BUFFERS - 1)];
    entry->addr = (uint64_t)(uintptr_t)buffer(ring, index);
    entry->len = BUFFER_SIZE;
    entry->bid = (uint16_t)index;
    ring->free_tail++;
}

static void publish_buffers(struct vos_ring *ring)
{
    __atomic_store_n(&ring->free_buffers->tail, ring->free_tail, __ATOMIC_RELEASE);
}

/* The next free entry, cleared, or NULL when the queue is full. */
static struct io_uring_sqe *entry(struct vos_ring *ring)
{
    if (ring->sq_local - __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE) > ring->sq_mask)
        return NULL;
    struct io_uring_sqe *found = &ring->entries[ring->sq_local++ & ring->sq_mask];
    memset(found, 0, sizeof *found);
    ring->to_submit++;
    return found;
}

static int submit(struct vos_ring *ring, uint32_t wait, int timeout_ms)
{
    struct __kernel_timespec limit = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L};
    struct io_uring_getevents_arg argument = {.ts = (uint64_t)(uintptr_t)&limit};
    __atomic_store_n(ring->sq_tail, ring->sq_local, __ATOMIC_RELEASE);
    int done = enter(ring, ring->to_submit, wait, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument,
                     sizeof argument);
    /* The kernel takes all entries before it waits; what it says of the waiting hides how many it took. */
    ring->to_submit = ring->sq_local - __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
    return done;
}

static void arm_later(struct vos_ring *ring, uint32_t index)
{
    ring->slots[index].next = ring->to_arm;
    ring->to_arm = index;
}

static void release(struct vos_ring *ring, uint32_t index)
{
    ring->slots[index].next = ring->free_slots;
    ring->free_slots = index;
}

static bool arm(struct vos_ring *ring, uint32_t index)
{
    struct io_uring_sqe *wanted = entry(ring);
    if (!wanted)
        return false;
    wanted->opcode = IORING_OP_RECVMSG;
    wanted->fd = ring->slots[index].socket->fd;
    wanted->ioprio = IORING_RECV_MULTISHOT;
    wanted->flags = IOSQE_BUFFER_SELECT;
    wanted->addr = (uint64_t)(uintptr_t)&ring->receive;
    wanted->len = 1;
    wanted->user_data = TAG(RECEIVED, index, 0);
    ring->slots[index].armed = true;
    return true;
}

static void arm_all(struct vos_ring *ring)
{
    while (ring->to_arm) {
        uint32_t index = ring->to_arm, next = ring->slots[index].next;
        if (!ring->slots[index].socket)
            release(ring, index);
        else if (!arm(ring, index))
            return;
        ring->to_arm = next;
    }
}

static void watch_epoll(struct vos_ring *ring)
{
    struct io_uring_sqe *wanted = ring->epoll_armed ? NULL : entry(ring);
    if (!wanted)
        return;
    wanted->opcode = IORING_OP_POLL_ADD;
    wanted->fd = ring->worker->epoll;
    wanted->poll32_events = POLLIN;
    wanted->user_data = TAG(EPOLL, 0, 0);
    ring->epoll_armed = true;
}

static void relay(struct vos_ring *ring, struct vos_socket *socket, uint32_t index)
{
    struct vos_worker *worker = ring->worker;
    uint8_t *start = buffer(ring, index);
    struct io_uring_recvmsg_out told;
    struct sockaddr_storage name;
    memcpy(&told, start, sizeof told);
    memcpy(&name, start + sizeof told, NAME_ROOM);
    worker->packet = start + sizeof told + NAME_ROOM;
    ring->at_hand = index;
    ring->kept = false;
    vos_relay_packet(worker, socket, &name, told.payloadlen);
    ring->at_hand = BUFFERS;
}

static void received(struct vos_ring *ring, const struct io_uring_cqe *told)
{
    uint32_t index = (uint32_t)(told->user_data >> 16);
    struct slot *slot = &ring->slots[index];
    if (told->flags & IORING_CQE_F_BUFFER) {
        uint32_t taken = told->flags >> IORING_CQE_BUFFER_SHIFT;
        ring->kept = false;
        if (slot->socket && told->res >= (int)(sizeof(struct io_uring_recvmsg_out) + NAME_ROOM))
            relay(ring, slot->socket, taken);
        if (!ring->kept)
            give_back(ring, taken);
    }
    if (told->flags & IORING_CQE_F_MORE)
        return;
    slot->armed = false;
    if (slot->socket)
        arm_later(ring, index); /* no buffer was free, or the kernel lost patience, or news of an earlier packet */
    else
        release(ring, index);
}

/* The far end's host refused the packet before, which a connected socket tells once; this one is still to go. */
static void failed(struct vos_ring *ring, const struct io_uring_cqe *told)
{
    struct vos_socket *socket = ring->slots[(uint32_t)(told->user_data >> 16) & 0xffffff].socket;
    uint32_t index = told->user_data & 0xffff;
    if (!socket)
        return;
    const uint8_t *packet = buffer(ring, index) + sizeof(struct io_uring_recvmsg_out) + NAME_ROOM;
    uint32_t length = ring->lengths[index];
    if (told->res == -ECONNREFUSED && send(socket->fd, packet, length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return;
    struct vos_counters *counters = &socket->stream->leg[socket->side].entry.counters;
    counters->sent--;
    counters->sent_bytes -= length;
    counters->send_errors++;
}

static void take(struct vos_ring *ring, const struct io_uring_cqe *told)
{
    switch (told->user_data >> 56) {
    case RECEIVED:
        received(ring, told);
        break;
    case SENT:
        failed(ring, told);
        break;
    case EPOLL:
        ring->epoll_armed = false;
        ring->epoll_ready = true;
    }
}

/* Works off what the last system call has brought; then the buffers that it sent from are free. */
static void work_off(struct vos_ring *ring)
{
    uint32_t head = *ring->cq_head, tail = __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE);
    uint32_t sent = ring->spent_count;
    for (; head != tail; head++)
        take(ring, &ring->completions[head & ring->cq_mask]);
    __atomic_store_n(ring->cq_head, head, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < sent; i++)
        give_back(ring, ring->spent[i]);
    ring->spent_count -= sent;
    memmove(ring->spent, ring->spent + sent, ring->spent_count * sizeof *ring->spent);
    publish_buffers(ring);
}

bool vos_ring_wait(struct vos_ring *ring, int timeout_ms)
{
    arm_all(ring);
    watch_epoll(ring);
    ring->epoll_ready = false;
    submit(ring, 1, timeout_ms);
    work_off(ring);
    return ring->epoll_ready;
}

bool vos_ring_send(struct vos_ring *ring, const struct vos_socket *out, const uint8_t *packet, size_t length)
{
    if (ring->at_hand == BUFFERS || packet != ring->worker->packet || ring->kept || !out->connected || !out->slot)
        return false;
    struct io_uring_sqe *wanted = entry(ring);
    if (!wanted)
        return false;
    wanted->opcode = IORING_OP_SEND;
    wanted->fd = out->fd;
    wanted->flags = IOSQE_CQE_SKIP_SUCCESS;
    wanted->addr = (uint64_t)(uintptr_t)packet;
    wanted->len = (uint32_t)length;
    wanted->msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    wanted->user_data = TAG(SENT, out->slot, ring->at_hand);
    ring->kept = true;
    ring->lengths[ring->at_hand] = (uint32_t)length;
    ring->spent[ring->spent_count++] = (uint16_t)ring->at_hand;
    return true;
}

bool vos_ring_watch(struct vos_ring *ring, struct vos_socket *socket)
{
    uint32_t index = ring->free_slots;
    if (index)
        ring->free_slots = ring->slots[index].next;
    else if (ring->slots_used < SLOTS)
        index = ring->slots_used++;
    else
        return false;
    ring->slots[index] = (struct slot){.socket = socket};
    socket->slot = index;
    arm_later(ring, index);
    return true;
}

/* Returns when the kernel has let go of the socket, so that its port is free as soon as it is closed. */
void vos_ring_leave(struct vos_ring *ring, struct vos_socket *socket)
{
    struct slot *slot = &ring->slots[socket->slot];
    slot->socket = NULL;
    if (slot->armed) {
        struct io_uring_sqe *wanted;
        while (!(wanted = entry(ring)))
            submit(ring, 0, 0);
        wanted->opcode = IORING_OP_ASYNC_CANCEL;
        wanted->flags = IOSQE_CQE_SKIP_SUCCESS;
        wanted->addr = TAG(RECEIVED, socket->slot, 0);
        wanted->user_data = TAG(CANCELLED, socket->slot, 0);
        for (int tries = 0; slot->armed && tries < 100; tries++) {
            submit(ring, 0, 0);
            work_off(ring);
        }
    }
    socket->slot = 0;
}

static bool map_rings(struct vos_ring *ring, const struct io_uring_params *params)
{
    size_t sq = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
    size_t cq = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
    ring->rings_size = sq > cq ? sq : cq;
    ring->rings = mmap(NULL, ring->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
    ring->entries = mmap(NULL, params->sq_entries * sizeof *ring->entries, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
                         IORING_OFF_SQES);
    if (ring->rings == MAP_FAILED || (void *)ring->entries == MAP_FAILED)
        return false;
    uint32_t *array = (uint32_t *)(ring->rings + params->sq_off.array);
    for (uint32_t i = 0; i < params->sq_entries; i++)
        array[i] = i;
    ring->sq_head = (uint32_t *)(ring->rings + params->sq_off.head);
    ring->sq_tail = (uint32_t *)(ring->rings + params->sq_off.tail);
    ring->sq_mask = params->sq_entries - 1;
    ring->cq_head = (uint32_t *)(ring->rings + params->cq_off.head);
    ring->cq_tail = (uint32_t *)(ring->rings + params->cq_off.tail);
    ring->cq_mask = params->cq_entries - 1;
    ring->completions = (struct io_uring_cqe *)(ring->rings + params->cq_off.cqes);
    return true;
}

static bool give_buffers(struct vos_ring *ring)
{
    size_t table = BUFFERS * sizeof(struct io_uring_buf);
    ring->free_buffers = mmap(NULL, table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ring->memory = mmap(NULL, BUFFERS * STRIDE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                        0);
    if ((void *)ring->free_buffers == MAP_FAILED || (void *)ring->memory == MAP_FAILED)
        return false;
    madvise(ring->memory, BUFFERS * STRIDE, MADV_NOHUGEPAGE);
    struct io_uring_buf_reg wanted = {.ring_addr = (uint64_t)(uintptr_t)ring->free_buffers, .ring_entries = BUFFERS};
    if (syscall(__NR_io_uring_register, ring->fd, IORING_REGISTER_PBUF_RING, &wanted, 1))
        return false;
    for (uint32_t i = 0; i < BUFFERS; i++)
        give_back(ring, i);
    publish_buffers(ring);
    return true;
}

void vos_ring_free(struct vos_ring *ring)
{
    if (!ring)
        return;
    if (ring->fd >= 0)
        close(ring->fd);
    if (ring->rings && ring->rings != MAP_FAILED)
        munmap(ring->rings, ring->rings_size);
    if (ring->entries && (void *)ring->entries != MAP_FAILED)
        munmap(ring->entries, (ring->sq_mask + 1) * sizeof *ring->entries);
    if (ring->free_buffers && (void *)ring->free_buffers != MAP_FAILED)
        munmap(ring->free_buffers, BUFFERS * sizeof(struct io_uring_buf));
    if (ring->memory && (void *)ring->memory != MAP_FAILED)
        munmap(ring->memory, BUFFERS * STRIDE);
    free(ring);
}

/* Called by the worker's own thread, which alone may use the ring then. */
struct vos_ring *vos_ring_new(struct vos_worker *worker)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                              IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL,
                                     .cq_entries = COMPLETIONS};
    struct vos_ring *ring = calloc(1, sizeof *ring);
    if (!ring)
        return NULL;
    ring->worker = worker;
    ring->at_hand = BUFFERS;
    ring->slots_used = 1; /* slot 0 is no slot */
    ring->receive.msg_namelen = NAME_ROOM;
    ring->fd = (int)syscall(__NR_io_uring_setup, SUBMISSIONS, &params);
    if (ring->fd < 0 || !map_rings(ring, &params) || !give_buffers(ring)) {
        vos_ring_free(ring);
        return NULL;
    }
    return ring;
}

#endif
