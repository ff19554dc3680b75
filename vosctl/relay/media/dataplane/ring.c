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
#include "ring.h"

#ifdef IORING_SETUP_DEFER_TASKRUN /* else ring_none.c */

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define AHEAD 2       /* packets */
#define SPIN_NS 30000 /* about what falling asleep and waking up cost the core and the packet */
#define SPIN_AWAKE_NS 200000 /* where the core does not sleep anyway */
#define SHIFT_NS 4000000 /* a worker that goes first sleeps between packets every other of these */

/* What a completion is about: the highest byte of its user_data; slot and buffer are below. */
enum { RECEIVED = 1, SENT, CANCELLED, EPOLL };
#define TAG(what, slot, buffer) ((uint64_t)(what) << 56 | (uint64_t)(slot) << 16 | (buffer))

static int enter(const struct vos_ring *ring, uint32_t submit, uint32_t wait, uint32_t flags, const void *argument,
                 size_t size)
{
    return (int)syscall(__NR_io_uring_enter, ring->fd, submit, wait, flags, argument, size);
}

static void give_back(struct vos_ring *ring, uint32_t index)
{
    ring->stock[ring->stock_count++] = (uint16_t)index;
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

/* An entry for the socket of a slot. */
static struct io_uring_sqe *entry_for(struct vos_ring *ring, uint32_t index, int fd)
{
    struct io_uring_sqe *found = entry(ring);
    if (!found)
        return NULL;
    bool listed = ring->slots[index].listed;
    found->fd = listed ? (int)index : fd;
    found->flags = listed ? IOSQE_FIXED_FILE : 0;
    return found;
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
    struct io_uring_sqe *wanted = entry_for(ring, index, ring->slots[index].socket->fd);
    if (!wanted)
        return false;
    wanted->opcode = IORING_OP_RECVMSG;
    wanted->ioprio = IORING_RECV_MULTISHOT;
    wanted->flags |= IOSQE_BUFFER_SELECT;
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
    uint8_t *start = vos_ring_buffer(ring, index);
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
        ring->offered--;
        ring->kept = false;
        if (slot->socket && told->res >= (int)(sizeof(struct io_uring_recvmsg_out) + NAME_ROOM))
            relay(ring, slot->socket, taken);
        if (!ring->kept)
            give_back(ring, taken);
    }
    if (told->flags & IORING_CQE_F_MORE)
        return;
    slot->armed = false;
    if (told->res == -ENOBUFS && ring->offer < BUFFERS)
        ring->offer *= 2;
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
    const uint8_t *packet = vos_ring_buffer(ring, index) + sizeof(struct io_uring_recvmsg_out) + NAME_ROOM;
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

/* Begins to load what the packet after the next is going to need. */
static void prepare(const struct vos_ring *ring, uint64_t about)
{
    if (about >> 56 != RECEIVED)
        return;
    const struct vos_socket *socket = ring->slots[(uint32_t)(about >> 16)].socket;
    if (socket)
        vos_relay_prefetch(socket);
}

/* Works off what the last system call has brought; then the buffers that it sent from are free. */
static void work_off(struct vos_ring *ring)
{
    uint32_t head = *ring->cq_head, tail = __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE);
    uint32_t sent = ring->spent_count;
    for (; head != tail; head++) {
        if (tail - head > AHEAD)
            prepare(ring, ring->completions[(head + AHEAD) & ring->cq_mask].user_data);
        take(ring, &ring->completions[head & ring->cq_mask]);
    }
    __atomic_store_n(ring->cq_head, head, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < sent; i++)
        give_back(ring, ring->spent[i]);
    ring->spent_count -= sent;
    memmove(ring->spent, ring->spent + sent, ring->spent_count * sizeof *ring->spent);
    vos_ring_offer(ring);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool vos_ring_empty(const struct vos_ring *ring)
{
    return *ring->cq_head == __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) &&
           !(__atomic_load_n(ring->sq_flags, __ATOMIC_ACQUIRE) & IORING_SQ_TASKRUN);
}

bool vos_ring_may_spin(const struct vos_ring *ring)
{
    return ring->may_spin;
}

/* Until something comes or patience is at its end. Whoever else wants the core gets it. */
static void look_out(const struct vos_ring *ring, uint64_t until_ns)
{
    while (vos_ring_empty(ring) && now_ns() < until_ns) {
        for (int i = 0; i < 20 && vos_ring_empty(ring); i++)
            VOS_RELAX();
        if (!ring->worker->awake) /* else it knows already that there is nobody else */
            sched_yield();
    }
}

/* A yield is no use to those whom a real-time worker goes before: they get the core only while it sleeps. */
static bool may_look_out(const struct vos_ring *ring, uint64_t now)
{
    struct vos_awake *awake = ring->worker->awake;
    if (awake)
        return ring->spin && vos_awake_alone(awake, now);
    return ring->spin && (!ring->first || now / SHIFT_NS % 2);
}

/* Waits for one completion at least. Where packets come closer than a sleep is worth, the worker looks out for the
 * next one instead: it does so after a wait that was short, and no more after one that was long. */
static void wait_for_one(struct vos_ring *ring, int timeout_ms)
{
    if (!ring->may_spin) {
        submit(ring, 1, timeout_ms);
        return;
    }
    submit(ring, 0, 0);
    if (*ring->cq_head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE))
        return;
    uint64_t began = now_ns(), patience = ring->worker->awake ? SPIN_AWAKE_NS : SPIN_NS;
    if (may_look_out(ring, began))
        look_out(ring, began + patience);
    submit(ring, 1, timeout_ms);
    ring->spin = now_ns() - began < patience;
}

bool vos_ring_wait(struct vos_ring *ring, int timeout_ms)
{
    arm_all(ring);
    watch_epoll(ring);
    ring->epoll_ready = false;
    wait_for_one(ring, timeout_ms);
    work_off(ring);
    return ring->epoll_ready;
}

bool vos_ring_send(struct vos_ring *ring, const struct vos_socket *out, const uint8_t *packet, size_t length)
{
    if (ring->at_hand == BUFFERS || packet != ring->worker->packet || ring->kept || !out->connected || !out->slot)
        return false;
    struct io_uring_sqe *wanted = entry_for(ring, out->slot, out->fd);
    if (!wanted)
        return false;
    wanted->opcode = IORING_OP_SEND;
    wanted->flags |= IOSQE_CQE_SKIP_SUCCESS;
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
    vos_ring_list(ring, index, socket->fd);
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
    if (ring->to_submit)
        submit(ring, 0, 0); /* what is still to leave by this socket */
    vos_ring_unlist(ring, socket->slot);
    socket->slot = 0;
}

#endif
