/* libFuzzer's target for the whole path of a packet, on a clock that the input drives: learning, ciphers, reports,
 * jitter buffers, blocks, digits, sound of the relay's own, and copies for a recording.
 *
 * The linker gives the plane this file's clock and sockets (--wrap), so that what leaves is looked at and nothing
 * leaves this process. The first bytes make a stream of two legs; then steps, each a packet, a change, or time. */
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "feed.h"
#include "internal.h"
#include "playout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
uint64_t __wrap_vos_now_us(void);
ssize_t __wrap_send(int fd, const void *packet, size_t length, int flags);
ssize_t __wrap_sendto(int fd, const void *packet, size_t length, int flags, const struct sockaddr *to, socklen_t len);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

#define PAYLOAD_MAX 2200 /* more than a jitter buffer holds */
#define ROOM (64 + PAYLOAD_MAX + VOS_TRAILER)

static uint64_t now_us;
static struct vos_worker *worker;
static struct vos_stream *stream;
static uint16_t sequence[2];
static uint32_t timestamp[2];
static struct vos_srtp *far_end[2][2]; /* of each side: what it sends with, what it opens with */

static void look(const uint8_t *packet, size_t length, const struct sockaddr *to)
{
    const struct sockaddr_in *name = (const struct sockaddr_in *)to;
    int side = ntohs(name->sin_port) >= 6000;
    bool rtcp = ntohs(name->sin_port) % 2;
    uint8_t copy[VOS_PACKET_MAX + VOS_TRAILER];
    size_t left = length;
    if (to->sa_family != AF_INET || length > ROOM)
        abort();
    memcpy(copy, packet, length);
    if (far_end[side][1] && vos_srtp_packet(far_end[side][1], copy, &left, 0, rtcp))
        abort(); /* the far end could not open what the relay sealed for it */
    if (rtcp ? vos_rtcp_valid(copy, left) != 0 : vos_rtp_header(copy, left) < 0)
        abort(); /* nothing but RTP and RTCP leaves */
}

uint64_t __wrap_vos_now_us(void)
{
    return now_us;
}

ssize_t __wrap_send(int fd, const void *packet, size_t length, int flags)
{
    (void)fd, (void)packet, (void)length, (void)flags;
    abort(); /* none of these sockets is connected */
}

ssize_t __wrap_sendto(int fd, const void *packet, size_t length, int flags, const struct sockaddr *to, socklen_t len)
{
    (void)fd, (void)flags, (void)len;
    look(packet, length, to);
    return (ssize_t)length;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    static volatile uint8_t last; /* every byte of a copy can be read */
    (void)fd, (void)flags;
    for (size_t i = 0; i < message->msg_iovlen; i++)
        for (size_t at = 0; at < message->msg_iov[i].iov_len; at++)
            last = ((const uint8_t *)message->msg_iov[i].iov_base)[at];
    return last;
}

static struct vos_addr address(uint8_t last, uint16_t port)
{
    struct vos_addr addr = {.family = 4, .port = port};
    addr.ip[0] = 127;
    addr.ip[3] = last;
    return addr;
}

static struct vos_transform transform(uint8_t choice)
{
    static const uint16_t lengths[] = {0, 9, 16, 16, 30, 30, 28};
    struct vos_transform how = {.mode = choice % 7};
    how.key_len = lengths[how.mode];
    memset(how.key, 'a' + choice % 20, how.key_len);
    return how;
}

static struct vos_playout_conf buffer(struct feed *feed)
{
    uint8_t choice = feed8(feed);
    struct vos_playout_conf conf = {.on = choice & 1, .adaptive = choice >> 1 & 1};
    conf.minimum = (uint16_t)(1 + feed8(feed) % 100);
    conf.start = (uint16_t)(conf.minimum + feed8(feed) % 150);
    conf.maximum = (uint16_t)(conf.start + feed8(feed) % 150);
    return conf;
}

static void far_ends(uint8_t side, const struct vos_leg_conf *conf)
{
    const struct vos_transform *how[2] = {&conf->rx, &conf->tx};
    for (int way = 0; way < 2; way++) {
        vos_srtp_free(far_end[side][way]);
        far_end[side][way] = NULL;
        if (how[way]->mode >= VOS_SRTP_80 && vos_srtp_create(how[way], &far_end[side][way]))
            abort();
    }
}

static struct vos_leg_conf leg(struct feed *feed, uint8_t side)
{
    uint8_t choice = feed8(feed), port = side ? 6 : 4;
    struct vos_leg_conf conf = {.rtp_fd = -1, .rtcp_fd = -1, .send = 1, .receive = 1, .timeout_ms = 3000};
    conf.local = address(1, (uint16_t)(port * 1000 + 500));
    conf.remote = address(2 + side, (uint16_t)(port * 1000));
    conf.from = conf.remote;
    conf.learn = choice % 3;
    conf.mux = choice >> 2 & 1;
    conf.judge = choice >> 3 & 1;
    conf.filter = choice >> 4 & 7;
    conf.events[101 / 8] = 1u << 101 % 8;
    conf.playout = buffer(feed);
    conf.rx = transform(feed8(feed));
    conf.tx = transform(feed8(feed));
    for (int i = 0; i < VOS_CLOCKS; i++)
        conf.clocks[i] = i == 9 ? 1 : i == 10 ? 10000000 : 8000;
    if (conf.mux)
        conf.learn = VOS_LEARN_SDP; /* `look` tells RTCP by its port */
    conf.mux = 0;
    far_ends(side, &conf);
    return conf;
}

static void arrive(uint8_t side, bool rtcp, uint8_t source, const uint8_t *packet, size_t length)
{
    struct vos_addr from = address(2 + side, (uint16_t)((side ? 6000 : 4000) + rtcp + (source & 2)));
    struct vos_socket *in = rtcp ? &stream->leg[side].rtcp : &stream->leg[side].rtp;
    struct sockaddr_storage name;
    from.ip[2] = source & 1; /* a stranger's host */
    vos_addr_to_sock(&from, &name);
    worker->packet = worker->own;
    memcpy(worker->own, packet, length);
    vos_relay_packet(worker, in, &name, length);
}

/* A packet that its far end really sends: sealed where the leg is SRTP. */
static void genuine(struct feed *feed, uint8_t side, bool rtcp)
{
    uint8_t packet[ROOM] = {0}, kind = feed8(feed);
    size_t length;
    if (rtcp) {
        uint8_t words = kind % 40;
        packet[0] = (uint8_t)(0x80 | (kind & 31));
        packet[1] = (uint8_t)(200 + kind / 128);
        packet[3] = (uint8_t)(words + 1);
        length = 8 + 4u * words;
        feed_bytes(feed, packet + 8, length - 8);
    } else {
        static const uint8_t types[] = {0, 8, 101, 9, 10, 18, 13, 0x88};
        sequence[side] = (uint16_t)(sequence[side] + (int8_t)feed8(feed));
        timestamp[side] += kind & 8 ? feed32(feed, 4) : 160u * (uint32_t)(int8_t)feed8(feed);
        put_header(packet, types[kind & 7], sequence[side], timestamp[side], kind >> 4 & 3);
        length = 12 + (kind & 128 ? feed32(feed, 2) % PAYLOAD_MAX : feed8(feed));
        feed_bytes(feed, packet + 12, 8);
    }
    if (far_end[side][0] && vos_srtp_packet(far_end[side][0], packet, &length, 1, rtcp))
        return;
    arrive(side, rtcp, 0, packet, length);
}

static void rubbish(struct feed *feed, uint8_t side, bool rtcp)
{
    uint8_t packet[256], source = feed8(feed);
    arrive(side, rtcp, source, packet, feed_bytes(feed, packet, feed8(feed)));
}

static void play(struct feed *feed, uint8_t side)
{
    struct vos_play_conf conf = {.payload_type = 8, .frame = 1 + feed32(feed, 2) % 960, .repeat = feed8(feed) % 4};
    uint8_t sound[600] = {0};
    struct vos_player *player;
    if (vos_player_new(&conf, sound, feed32(feed, 2) % sizeof sound, &player))
        abort();
    vos_player_swap(worker, stream, side, &player);
    vos_player_free(player);
}

static void dial(struct feed *feed, uint8_t side)
{
    struct vos_leg *at = &stream->leg[side];
    struct vos_digits_conf conf = {.payload_type = feed8(feed) & 1 ? 101 : 8, .count = feed8(feed) % (VOS_DIGITS + 1)};
    uint8_t tones[600] = {0};
    for (uint32_t i = 0; i < conf.count; i++)
        conf.digit[i] = (struct vos_digit){feed8(feed), feed8(feed) & 63, (uint16_t)(1 + feed32(feed, 2) % 65535),
                                           (uint16_t)feed32(feed, 2)};
    size_t length = conf.payload_type == 8 ? feed32(feed, 2) % sizeof tones : 0;
    vos_digits_free(at->digits);
    at->digits_done = false;
    if (vos_digits_new(&conf, tones, length, &at->digits))
        abort();
}

static void change(struct feed *feed, uint8_t side)
{
    struct vos_leg_conf conf = leg(feed, side);
    struct vos_command command = {.kind = VOS_CHANGE, .stream = stream, .side = side, .conf = &conf};
    command.what = VOS_CHANGE_REMOTE | VOS_CHANGE_RX | VOS_CHANGE_TX | VOS_CHANGE_REST | VOS_CHANGE_PLAYOUT;
    if (vos_cipher_new(&conf.rx, &command.rx) || vos_cipher_new(&conf.tx, &command.tx) ||
        vos_playout_new(&conf.playout, &command.playout))
        abort();
    vos_stream_apply(stream, &command);
    vos_wheel_swap(worker, stream, side, &command.playout);
    vos_cipher_free(command.rx);
    vos_cipher_free(command.tx);
    vos_judge_free(command.judge);
    vos_playout_free(command.playout);
}

static void pass(uint32_t step_us)
{
    now_us += step_us;
    int wait_ms = vos_wheel_run(worker, vos_player_run(worker, 1000));
    if (wait_ms < 0 || wait_ms > 1000)
        abort();
    vos_relay_tick(worker, stream, now_us / 1000);
}

/* What a buffer holds and how long it makes packets wait never goes beyond what it was made for. */
static void bounded(const struct vos_playout *playout)
{
    if (!playout)
        return;
    uint32_t most = playout->adaptive ? playout->maximum_us : playout->start_us;
    if (playout->held > VOS_HELD || playout->free_cells > playout->cells || vos_playout_delay_us(playout) > most)
        abort();
    if (playout->held && vos_playout_due(playout) > now_us + 1000u * VOS_PLAYOUT_MAX)
        abort();
}

static void step(struct feed *feed)
{
    uint8_t choice = feed8(feed), side = choice & 1;
    switch (choice >> 1 & 15) {
    case 0:
        rubbish(feed, side, choice >> 5 & 1);
        break;
    case 1:
        play(feed, side);
        break;
    case 2:
        dial(feed, side);
        break;
    case 3:
        change(feed, side);
        break;
    case 4:
        stream->tapped = !stream->tapped;
        break;
    case 5:
    case 6:
        genuine(feed, side, true);
        break;
    case 7:
    case 8:
    case 9:
        pass(feed32(feed, choice & 64 ? 3 : 2));
        break;
    default:
        genuine(feed, side, false);
        pass(20u * feed8(feed));
    }
    bounded(stream->leg[0].playout);
    bounded(stream->leg[1].playout);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed feed = {data, size};
    if (!worker)
        worker = calloc(1, sizeof *worker);
    if (vos_crypto_open())
        abort();
    worker->events = -1;
    worker->ticked_ms = 0;
    now_us = 1000000000;
    memset(sequence, 0, sizeof sequence);
    memset(timestamp, 0, sizeof timestamp);
    struct vos_leg_conf confs[2] = {leg(&feed, 0), leg(&feed, 1)};
    if (vos_stream_new(1, confs, &stream))
        abort();
    stream->worker = worker;
    vos_wheel_join(stream);
    while (feed.left)
        step(&feed);
    pass(10000000);
    for (int side = 0; side < 2; side++)
        if (stream->leg[side].playout && stream->leg[side].playout->held)
            abort(); /* nothing waits for ever */
    vos_player_leave(worker, stream);
    vos_wheel_leave(worker, stream);
    vos_stream_free(stream);
    if (worker->wheel.count)
        abort();
    return 0;
}
