/* What a ring is made of: the queues that are shared with the kernel, the buffers, and the table of files.
 *
 * The kernel has few buffers at a time, those used last, so that packets pass through memory that the processor
 * still holds; when they do not last, it gets more for good. Newer flags than Linux 6.1's are tried, and done
 * without where the kernel does not know them. */
#include "ring.h"

#ifdef IORING_SETUP_DEFER_TASKRUN

#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SUBMISSIONS 1024
/* A kernel of this feature (Linux 6.14) lets go of a file as soon as the table does, so that its port is free at
 * once, and takes no core away from a real-time thread that never sleeps. */
#define FEATURE_RECENT (1u << 16) /* IORING_FEAT_RW_ATTR */

void vos_ring_offer(struct vos_ring *ring)
{
    while (ring->offered < ring->offer && ring->stock_count) {
        uint16_t index = ring->stock[--ring->stock_count];
        struct io_uring_buf *entry = &ring->free_buffers->bufs[ring->free_tail++ & (BUFFERS - 1)];
        entry->addr = (uint64_t)(uintptr_t)vos_ring_buffer(ring, index);
        entry->len = BUFFER_SIZE;
        entry->bid = index;
        ring->offered++;
    }
    __atomic_store_n(&ring->free_buffers->tail, ring->free_tail, __ATOMIC_RELEASE);
}

static bool change_table(const struct vos_ring *ring, uint32_t index, int fd)
{
    struct io_uring_files_update wanted = {.offset = index, .fds = (uint64_t)(uintptr_t)&fd};
    return syscall(__NR_io_uring_register, ring->fd, IORING_REGISTER_FILES_UPDATE, &wanted, 1) == 1;
}

/* A socket in the kernel's table is found without looking its descriptor up, and without counting who uses it. */
void vos_ring_list(struct vos_ring *ring, uint32_t index, int fd)
{
    ring->slots[index].listed = ring->table && change_table(ring, index, fd);
}

void vos_ring_unlist(struct vos_ring *ring, uint32_t index)
{
    if (ring->slots[index].listed)
        change_table(ring, index, -1);
    ring->slots[index].listed = false;
}

static bool make_table(const struct vos_ring *ring)
{
    struct io_uring_rsrc_register wanted = {.nr = SLOTS, .flags = IORING_RSRC_REGISTER_SPARSE};
    return syscall(__NR_io_uring_register, ring->fd, IORING_REGISTER_FILES2, &wanted, sizeof wanted) == 0;
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
    ring->sq_flags = (uint32_t *)(ring->rings + params->sq_off.flags);
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
    while (ring->stock_count < BUFFERS) {
        ring->stock[ring->stock_count] = (uint16_t)ring->stock_count;
        ring->stock_count++;
    }
    ring->offer = OFFERED_FIRST;
    vos_ring_offer(ring);
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
                                              IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL |
                                              IORING_SETUP_TASKRUN_FLAG,
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
    int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
    ring->first = policy == SCHED_FIFO || policy == SCHED_RR;
    ring->may_spin = params.features & FEATURE_RECENT;
    ring->table = ring->may_spin && make_table(ring);
    return ring;
}

#endif
