/* The interface that the host calls: it prepares on its own thread what a worker then only takes up. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define EVENT_PIPE (1 << 20)

static struct {
    struct vos_worker *worker[VOS_WORKERS];
    uint32_t workers;
    int events[2];
} plane;

uint32_t vos_abi(void)
{
    return VOS_ABI;
}

uint32_t vos_sizes(uint32_t which)
{
    static const uint32_t sizes[] = {sizeof(struct vos_entry), sizeof(struct vos_leg_conf), sizeof(struct vos_view),
                                     sizeof(struct vos_event)};
    return which < sizeof sizes / sizeof *sizes ? sizes[which] : 0;
}

static int start_workers(uint32_t count, bool epoll)
{
    for (uint32_t i = 0; i < count; i++) {
        struct vos_worker *worker = calloc(1, sizeof *worker);
        if (!worker)
            return -ENOMEM;
        worker->epoll_only = epoll;
        worker->number = i + 1;
        int error = vos_worker_start(worker, plane.events[1]);
        if (error) {
            free(worker);
            return error;
        }
        plane.worker[plane.workers++] = worker;
    }
    return 0;
}

int vos_start(const struct vos_conf *conf)
{
    if (plane.workers || !conf->workers || conf->workers > VOS_WORKERS)
        return -EINVAL;
    vos_aes_threads(conf->workers);
    vos_crypto_open(); /* without it, rc4 and aes128 are refused when a stream asks for them */
    vos_socket_limits(conf->receive_buffer, conf->files);
    if (pipe2(plane.events, O_CLOEXEC | O_NONBLOCK))
        return -errno;
    fcntl(plane.events[1], F_SETPIPE_SZ, EVENT_PIPE);
    int error = start_workers(conf->workers, conf->epoll);
    if (error) {
        vos_stop();
        return error;
    }
    return plane.events[0];
}

static void stop_worker(struct vos_worker *worker)
{
    struct vos_command command = {.kind = VOS_STOP};
    vos_worker_do(worker, &command);
    pthread_join(worker->thread, NULL);
    while (worker->streams) {
        struct vos_stream *stream = worker->streams;
        worker->streams = stream->next;
        vos_stream_free(stream);
    }
    close(worker->epoll);
    close(worker->wake);
    free(worker);
}

void vos_stop(void)
{
    while (plane.workers)
        stop_worker(plane.worker[--plane.workers]);
    vos_tap_close();
    vos_kernel_close();
    close(plane.events[0]);
    close(plane.events[1]);
}

int vos_low_latency(uint32_t on)
{
    int first = 0;
    for (uint32_t i = 0; i < plane.workers; i++) {
        struct vos_command command = {.kind = VOS_AWAKE, .what = on};
        int error = vos_worker_do(plane.worker[i], &command);
        if (error && !first)
            first = error;
    }
    return first;
}

static struct vos_worker *least_busy(void)
{
    struct vos_worker *least = plane.worker[0];
    for (uint32_t i = 1; i < plane.workers; i++)
        if (plane.worker[i]->count < least->count)
            least = plane.worker[i];
    return least;
}

int vos_add(uint64_t id, const struct vos_leg_conf legs[2], struct vos_stream **out)
{
    struct vos_stream *stream;
    struct vos_worker *worker = least_busy();
    int error = vos_stream_new(id, legs, &stream);
    if (error)
        return error;
    stream->worker = worker;
    struct vos_command command = {.kind = VOS_ADD, .stream = stream};
    error = vos_worker_do(worker, &command);
    if (error) {
        stream->leg[0].rtp.fd = stream->leg[0].rtcp.fd = stream->leg[1].rtp.fd = stream->leg[1].rtcp.fd = -1;
        vos_stream_free(stream);
        return error;
    }
    worker->count++;
    *out = stream;
    return 0;
}

static int prepare(struct vos_command *command, uint32_t what)
{
    const struct vos_leg_conf *leg = command->conf;
    int error = 0;
    if (what & VOS_CHANGE_RX)
        error = vos_cipher_new(&leg->rx, &command->rx);
    if (!error && what & VOS_CHANGE_TX)
        error = vos_cipher_new(&leg->tx, &command->tx);
    if (!error && what & VOS_CHANGE_PLAYOUT)
        error = vos_playout_new(&leg->playout, &command->playout);
    if (!error && what & (VOS_CHANGE_RX | VOS_CHANGE_JUDGE) && leg->judge && !(command->judge = vos_judge_new()))
        error = -ENOMEM;
    return error;
}

int vos_change(struct vos_stream *stream, uint32_t side, const struct vos_leg_conf *leg, uint32_t what)
{
    struct vos_command command = {.kind = VOS_CHANGE, .stream = stream, .side = side, .what = what, .conf = leg};
    int error = side > 1 ? -EINVAL : prepare(&command, what);
    if (!error)
        error = vos_worker_do(stream->worker, &command);
    vos_cipher_free(command.rx);
    vos_cipher_free(command.tx);
    vos_judge_free(command.judge);
    vos_playout_free(command.playout);
    return error;
}

int vos_remove(struct vos_stream *stream, struct vos_counters last[2])
{
    struct vos_command command = {.kind = VOS_REMOVE, .stream = stream};
    int error = vos_worker_do(stream->worker, &command);
    for (int side = 0; side < 2; side++)
        last[side] = stream->leg[side].entry.counters;
    stream->worker->count--;
    vos_stream_free(stream);
    return error;
}

int vos_play(struct vos_stream *stream, uint32_t side, const struct vos_play_conf *conf, const uint8_t *sound,
             size_t length)
{
    struct vos_command command = {.kind = VOS_PLAY, .stream = stream, .side = side};
    int error = side > 1 ? -EINVAL : vos_player_new(conf, sound, length, &command.player);
    if (!error)
        error = vos_worker_do(stream->worker, &command);
    vos_player_free(command.player);
    return error;
}

int vos_dial(struct vos_stream *stream, uint32_t side, const struct vos_digits_conf *conf, const uint8_t *sound,
             size_t length)
{
    struct vos_command command = {.kind = VOS_DIAL, .stream = stream, .side = side};
    int error = side > 1 ? -EINVAL : vos_digits_new(conf, sound, length, &command.digits);
    if (!error)
        error = vos_worker_do(stream->worker, &command);
    vos_digits_free(command.digits);
    return error;
}

int vos_record(struct vos_stream *stream, uint32_t on)
{
    struct vos_command command = {.kind = VOS_TAP, .stream = stream, .what = on && vos_tap_open() >= 0};
    if (on && !command.what)
        return -EMFILE;
    return vos_worker_do(stream->worker, &command);
}

const struct vos_entry *vos_entry(const struct vos_stream *stream, uint32_t side)
{
    return side > 1 ? NULL : &stream->leg[side].entry;
}

const struct vos_view *vos_view(const struct vos_stream *stream, uint32_t side)
{
    return side > 1 ? NULL : &stream->leg[side].view;
}

void vos_refresh(struct vos_stream *stream)
{
    for (uint32_t i = 0; i < plane.workers; i++) {
        struct vos_command command = {.kind = VOS_REFRESH, .stream = stream};
        if (!stream || stream->worker == plane.worker[i])
            vos_worker_do(plane.worker[i], &command);
    }
}
