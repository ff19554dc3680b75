/* Worker threads: each owns its streams, waits for their sockets, and takes commands between packets. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

#define BATCH 256
#define TICK_MS 1000

static atomic_ullong events_lost;

uint64_t vos_events_lost(void)
{
    return atomic_load(&events_lost);
}

/* A record is smaller than PIPE_BUF, so the workers' records never mix. */
void vos_worker_event(struct vos_worker *worker, const struct vos_event *event)
{
    if (write(worker->events, event, sizeof *event) != (ssize_t)sizeof *event)
        atomic_fetch_add(&events_lost, 1);
}

/* Media is the ring's where there is one; RTCP, which is rare, and what the ring has no place for are epoll's. */
static bool in_ring(const struct vos_worker *worker, int operation, struct vos_socket *socket)
{
    if (!worker->ring || socket->rtcp)
        return false;
    if (operation == EPOLL_CTL_ADD)
        return vos_ring_watch(worker->ring, socket);
    if (!socket->slot)
        return false;
    vos_ring_leave(worker->ring, socket);
    return true;
}

static int watch(const struct vos_worker *worker, int operation, struct vos_stream *stream)
{
    int error = 0;
    for (int side = 0; side < 2; side++) {
        struct vos_socket *sockets[2] = {&stream->leg[side].rtp, &stream->leg[side].rtcp};
        for (int i = 0; i < 2; i++) {
            if (in_ring(worker, operation, sockets[i]))
                continue;
            struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = sockets[i]};
            if (epoll_ctl(worker->epoll, operation, sockets[i]->fd, &wanted) && !error)
                error = -errno;
        }
    }
    return error;
}

static int enter(struct vos_worker *worker, struct vos_stream *stream)
{
    int error = watch(worker, EPOLL_CTL_ADD, stream);
    if (error) {
        watch(worker, EPOLL_CTL_DEL, stream);
        return error;
    }
    vos_wheel_join(stream);
    stream->next = worker->streams;
    if (stream->next)
        stream->next->before = stream;
    worker->streams = stream;
    return 0;
}

static void leave(struct vos_worker *worker, struct vos_stream *stream)
{
    watch(worker, EPOLL_CTL_DEL, stream);
    vos_player_leave(worker, stream);
    vos_wheel_leave(worker, stream);
    if (stream->before)
        stream->before->next = stream->next;
    else
        worker->streams = stream->next;
    if (stream->next)
        stream->next->before = stream->before;
    vos_stream_drops(stream);
}

static void refresh(struct vos_worker *worker, struct vos_stream *one)
{
    for (struct vos_stream *stream = one ? one : worker->streams; stream; stream = one ? NULL : stream->next) {
        vos_settled_fold(stream);
        vos_stream_drops(stream);
    }
}

static void dial(struct vos_leg *leg, struct vos_digits **given)
{
    struct vos_digits *old = leg->digits;
    leg->digits = *given;
    leg->digits_done = false;
    *given = old;
}

static void carry_out(struct vos_worker *worker, struct vos_command *command)
{
    if (command->stream && command->kind != VOS_ADD && command->kind != VOS_REFRESH)
        vos_settled_leave(command->stream);
    switch (command->kind) {
    case VOS_ADD:
        command->result = enter(worker, command->stream);
        break;
    case VOS_CHANGE:
        vos_stream_apply(command->stream, command);
        if (command->what & VOS_CHANGE_PLAYOUT)
            vos_wheel_swap(worker, command->stream, (uint8_t)command->side, &command->playout);
        break;
    case VOS_REMOVE:
        leave(worker, command->stream);
        break;
    case VOS_REFRESH:
        refresh(worker, command->stream);
        break;
    case VOS_PLAY:
        vos_player_swap(worker, command->stream, (uint8_t)command->side, &command->player);
        break;
    case VOS_DIAL:
        dial(&command->stream->leg[command->side], &command->digits);
        break;
    case VOS_TAP:
        command->stream->tapped = command->what;
        break;
    case VOS_AWAKE:
        if (command->what)
            command->result = vos_awake_start(worker);
        else
            vos_awake_stop(worker);
        break;
    case VOS_STOP:
        worker->stop = true;
    }
}

static void take_commands(struct vos_worker *worker)
{
    uint64_t count;
    if (read(worker->wake, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(&worker->lock);
    struct vos_command *command = worker->inbox;
    worker->inbox = NULL;
    pthread_mutex_unlock(&worker->lock);
    while (command) {
        struct vos_command *next = command->next; /* its memory is the host's again once it is done */
        carry_out(worker, command);
        sem_post(&command->done);
        command = next;
    }
}

static int tick(struct vos_worker *worker)
{
    uint64_t now_ms = vos_now_us() / 1000;
    if (now_ms - worker->ticked_ms >= TICK_MS) {
        worker->ticked_ms = now_ms;
        vos_settled_tick(worker);
        for (struct vos_stream *stream = worker->streams; stream; stream = stream->next)
            vos_relay_tick(worker, stream, now_ms);
    }
    return (int)(TICK_MS - (now_ms - worker->ticked_ms));
}

/* Commands run after the whole batch, so that no event of it can name a stream that is gone. */
static void *run(void *argument)
{
    struct vos_worker *worker = argument;
    struct epoll_event ready[BATCH];
    vos_aes_thread(worker->number);
    worker->ring = worker->epoll_only ? NULL : vos_ring_new(worker);
    while (!worker->stop) {
        int timeout = vos_wheel_run(worker, vos_player_run(worker, tick(worker)));
        if (worker->ring && !vos_ring_wait(worker->ring, timeout))
            continue;
        int count = epoll_wait(worker->epoll, ready, BATCH, worker->ring ? 0 : timeout);
        bool commands = false;
        for (int i = 0; i < count; i++) {
            if (ready[i].data.ptr)
                vos_relay_receive(worker, ready[i].data.ptr);
            else
                commands = true;
        }
        if (commands)
            take_commands(worker);
    }
    vos_awake_stop(worker);
    vos_ring_free(worker->ring);
    return NULL;
}

int vos_worker_start(struct vos_worker *worker, int events)
{
    struct epoll_event wanted = {.events = EPOLLIN};
    worker->events = events;
    pthread_mutex_init(&worker->lock, NULL);
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    worker->ticked_ms = vos_now_us() / 1000;
    if (worker->epoll < 0 || worker->wake < 0 || epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->wake, &wanted))
        return -errno;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the host's */
    int error = pthread_create(&worker->thread, NULL, run, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

int vos_worker_do(struct vos_worker *worker, struct vos_command *command)
{
    uint64_t one = 1;
    sem_init(&command->done, 0, 0);
    pthread_mutex_lock(&worker->lock);
    command->next = worker->inbox;
    worker->inbox = command;
    pthread_mutex_unlock(&worker->lock);
    if (write(worker->wake, &one, sizeof one) < 0)
        command->result = -errno;
    while (sem_wait(&command->done))
        ;
    sem_destroy(&command->done);
    return command->result;
}
