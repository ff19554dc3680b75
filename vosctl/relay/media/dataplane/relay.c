/* The packet path: one packet in, checked, counted, transformed, out. No allocation, no lock, no Python. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "kernel.h"

#define UDPTL_MIN 4   /* a sequence number, and the lengths of two parts */
#define FORGED_MAX 50 /* a second of 20 ms packets, none of them genuine: the key is another */

static void event(struct vos_worker *worker, const struct vos_stream *stream, uint32_t side, uint32_t kind,
                  uint64_t value)
{
    struct vos_event event = {.kind = kind,
                              .side = side,
                              .stream = stream->id,
                              .remote = stream->leg[side].entry.match.remote,
                              .value = value};
    vos_worker_event(worker, &event);
}

static ssize_t put(const struct vos_socket *out, const uint8_t *packet, size_t length)
{
    if (out->connected)
        return send(out->fd, packet, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sendto(out->fd, packet, length, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&out->to_sock,
                  out->to_len);
}

/* A connected socket tells of the packet before, which the far end's host refused; this one is still to go. */
static bool transmit(const struct vos_socket *out, const uint8_t *packet, size_t length)
{
    if (put(out, packet, length) >= 0)
        return true;
    return errno == ECONNREFUSED && put(out, packet, length) >= 0;
}

/* Multiplexed RTCP has the RTP's source; only a valid packet may make a source known. */
static bool accept_rtcp(struct vos_socket *in, const struct vos_addr *from, bool valid)
{
    struct vos_leg *leg = &in->stream->leg[in->side];
    if (!in->rtcp)
        return vos_addr_same(from, &leg->entry.match.remote);
    if (vos_addr_same(from, &leg->rtcp_remote))
        return true;
    if (!valid || !vos_learn_rtcp(leg, from))
        return false;
    vos_stream_refresh(in->stream);
    return true;
}

/* Whether the address may be heard at all: the one that the leg is locked to, or one that learning may lock it to. */
static bool may_come_from(const struct vos_leg *leg, const struct vos_addr *locked, const struct vos_addr *from)
{
    const struct vos_learner *learner = &leg->learner;
    if (locked->family || learner->rule == VOS_LEARN_SDP)
        return vos_addr_same(from, locked);
    return learner->rule == VOS_LEARN_ANY || vos_addr_same_host(from, &learner->from);
}

static bool genuine_rtcp(struct vos_worker *worker, struct vos_socket *in, const struct vos_addr *from, size_t *length)
{
    struct vos_leg *leg = &in->stream->leg[in->side];
    struct vos_srtp *srtp = vos_cipher_srtp(leg->rx);
    const struct vos_addr *locked = in->rtcp ? &leg->rtcp_remote : &leg->entry.match.remote;
    if (!srtp || !may_come_from(leg, locked, from))
        return true; /* strangers are turned away as ever */
    if (vos_srtcp_open(srtp, worker->packet, length) == 0)
        return true;
    leg->entry.counters.unauthentic++;
    return false;
}

static void relay_rtcp(struct vos_worker *worker, struct vos_socket *in, const struct vos_addr *from, size_t length)
{
    struct vos_leg *leg = &in->stream->leg[in->side], *other = &in->stream->leg[!in->side];
    struct vos_counters *counters = &leg->entry.counters;
    if (!genuine_rtcp(worker, in, from, &length))
        return;
    bool valid = vos_rtcp_valid(worker->packet, length) == 0;
    if (!accept_rtcp(in, from, valid)) {
        counters->dropped++;
        return;
    }
    if (!valid) {
        counters->malformed++;
        return;
    }
    counters->rtcp_packets++;
    counters->rtcp_bytes += length;
    leg->view.last_ms = worker->now_us / 1000;
    vos_tap(in->stream, from, &leg->entry.match.local, worker->packet, length);
    vos_rtcp_note(leg, other, worker->packet, length, worker->now_us);
    struct vos_socket *out = other->mux ? &other->rtp : &other->rtcp;
    struct vos_srtp *srtp = vos_cipher_srtp(other->tx);
    if (!out->to_len)
        counters->held++;
    else if ((!srtp || vos_srtcp_seal(srtp, worker->packet, &length) == 0) && transmit(out, worker->packet, length))
        other->entry.counters.rtcp_sent++;
    else
        other->entry.counters.send_errors++;
}

/* Whether the packet is the far end's; a source that is new may become it. */
static bool accept_rtp(struct vos_worker *worker, struct vos_socket *in, const struct vos_addr *from,
                       const struct vos_rtp *rtp)
{
    struct vos_leg *leg = &in->stream->leg[in->side];
    if (vos_addr_same(from, &leg->entry.match.remote)) {
        if (leg->heard && !leg->moved)
            return true;
    } else {
        bool locked;
        if (!vos_learn_rtp(leg, from, rtp, worker->now_us, &locked))
            return false;
        if (!locked)
            return true;
        vos_socket_lock(leg);
        vos_stream_refresh(in->stream);
    }
    bool changed = !vos_addr_same(from, &leg->learner.previous);
    if (!leg->heard)
        event(worker, in->stream, in->side, VOS_FIRST_PACKET, rtp->ssrc);
    else if (leg->moved && changed)
        event(worker, in->stream, in->side, VOS_SOURCE_CHANGE, rtp->ssrc);
    leg->heard = true;
    leg->moved = false;
    return true;
}

static void judge(struct vos_worker *worker, struct vos_socket *in, const struct vos_rtp *rtp, size_t length)
{
    struct vos_leg *leg = &in->stream->leg[in->side];
    const uint8_t *payload = worker->packet + rtp->header;
    int verdict = vos_judge_packet(leg->judge, rtp->payload_type, rtp->ssrc, payload, length - rtp->header);
    if (verdict < 0)
        return;
    if (verdict && !leg->view.mismatch)
        event(worker, in->stream, in->side, VOS_KEY_MISMATCH, rtp->ssrc);
    leg->view.mismatch = (uint32_t)verdict;
}

/* Through the ring if the packet stands in it, so that a batch of them is one system call. */
static bool pass_on(const struct vos_socket *out, const uint8_t *packet, size_t length)
{
    struct vos_ring *ring = out->stream->worker->ring;
    return (ring && vos_ring_send(ring, out, packet, length)) || transmit(out, packet, length);
}

/* Encrypts a plain packet for the leg's far end and sends it. */
void vos_relay_send(struct vos_leg *leg, uint8_t *packet, size_t length, const struct vos_rtp *rtp)
{
    if (vos_cipher_seal(leg->tx, packet, &length, rtp) == 0 && pass_on(&leg->rtp, packet, length)) {
        leg->entry.counters.sent++;
        leg->entry.counters.sent_bytes += length;
    } else {
        leg->entry.counters.send_errors++;
    }
}

/* What is left of the packet after blocks and digits; 0: nothing. */
static size_t altered(struct vos_worker *worker, struct vos_stream *stream, uint8_t side, uint8_t *packet,
                      struct vos_rtp *rtp, size_t length)
{
    struct vos_leg *leg = &stream->leg[side];
    if (!leg->filter && !leg->digits)
        return length;
    bool done = leg->digits_done;
    length = vos_alter(leg, packet, length, rtp);
    if (leg->digits_done && !done)
        event(worker, stream, side, VOS_DIGITS_SENT, rtp->ssrc);
    return length;
}

/* A plain packet of one side's, at the time at which it is to leave to the other. */
void vos_relay_pass(struct vos_worker *worker, struct vos_stream *stream, uint8_t side, uint8_t *packet,
                    size_t length, struct vos_rtp *rtp)
{
    struct vos_leg *leg = &stream->leg[side], *other = &stream->leg[!side];
    length = other->playing || !other->rtp.to_len ? 0 : altered(worker, stream, side, packet, rtp, length);
    if (length)
        vos_relay_send(other, packet, length, rtp);
    else
        leg->entry.counters.held++;
}

static void forward(struct vos_worker *worker, struct vos_socket *in, struct vos_rtp *rtp, size_t length)
{
    struct vos_leg *leg = &in->stream->leg[in->side], *other = &in->stream->leg[!in->side];
    uint8_t *packet = worker->packet;
    if (!leg->receive || !other->send || !other->rtp.to_len) {
        leg->entry.counters.held++;
        return;
    }
    bool clear = vos_cipher_apply(leg->rx, packet, length, rtp) == 0;
    if (clear && leg->judge)
        judge(worker, in, rtp, length);
    if (!clear) {
        other->entry.counters.send_errors++;
        return;
    }
    vos_tap(in->stream, &leg->entry.match.remote, &leg->entry.match.local, packet, length);
    if (!leg->playout || !vos_wheel_hold(worker, leg, packet, length, rtp))
        vos_relay_pass(worker, in->stream, in->side, packet, length, rtp);
}

/* SRTP proves whose a packet is before anything is believed of it, so that a leg locks to nothing less. */
static bool genuine(struct vos_worker *worker, struct vos_socket *in, const struct vos_addr *from,
                    const struct vos_rtp *rtp, size_t *length)
{
    struct vos_leg *leg = &in->stream->leg[in->side];
    struct vos_srtp *srtp = vos_cipher_srtp(leg->rx);
    if (!srtp || !may_come_from(leg, &leg->entry.match.remote, from))
        return true;
    int error = vos_srtp_open(srtp, worker->packet, length, rtp);
    if (error) {
        leg->entry.counters.unauthentic++;
        if (error == -EBADMSG && ++leg->forged == FORGED_MAX && !leg->view.mismatch) {
            leg->view.mismatch = 1;
            event(worker, in->stream, in->side, VOS_KEY_MISMATCH, rtp->ssrc);
        }
        return false;
    }
    if (leg->forged >= FORGED_MAX)
        leg->view.mismatch = 0;
    leg->forged = 0;
    return true;
}

static void relay_rtp(struct vos_worker *worker, struct vos_socket *in, const struct vos_addr *from, size_t length)
{
    struct vos_leg *leg = &in->stream->leg[in->side];
    struct vos_rtp rtp;
    if (leg->settled.flow && vos_addr_same(from, &leg->entry.match.remote))
        vos_settled_arrived(in->stream, in->side);
    if (vos_rtp_parse(worker->packet, length, &rtp)) {
        if (vos_addr_same(from, &leg->entry.match.remote))
            leg->entry.counters.malformed++;
        else
            leg->entry.counters.dropped++;
        return;
    }
    if (!genuine(worker, in, from, &rtp, &length))
        return;
    if (!accept_rtp(worker, in, from, &rtp)) {
        leg->entry.counters.dropped++;
        return;
    }
    leg->view.last_ms = worker->now_us / 1000;
    vos_stats_update(leg, &rtp, length, worker->now_us);
    forward(worker, in, &rtp, length);
    if (vos_kernel_used())
        vos_settled_relayed(in->stream, in->side, &rtp, length);
}

/* A fax (ITU-T T.38): of a UDPTL packet nothing is looked at but its sequence number, which learning goes by. */
static void relay_udptl(struct vos_worker *worker, struct vos_socket *in, const struct vos_addr *from, size_t length)
{
    struct vos_leg *leg = &in->stream->leg[in->side], *other = &in->stream->leg[!in->side];
    struct vos_rtp stamp = {.sequence = (uint16_t)(worker->packet[0] << 8 | worker->packet[1])};
    if (in->rtcp || length < UDPTL_MIN || !accept_rtp(worker, in, from, &stamp)) {
        leg->entry.counters.dropped++;
        return;
    }
    leg->view.last_ms = worker->now_us / 1000;
    leg->entry.counters.packets++;
    leg->entry.counters.expected++;
    leg->entry.counters.bytes += length;
    if (!leg->receive || !other->send || !other->rtp.to_len || !other->udptl || leg->filter & (VOS_BLOCK_MEDIA | VOS_SILENCE)) {
        leg->entry.counters.held++;
        return;
    }
    vos_tap(in->stream, &leg->entry.match.remote, &leg->entry.match.local, worker->packet, length);
    vos_relay_send(other, worker->packet, length, &stamp);
}

/* Begins to load what a packet of the socket's is going to touch: with many calls none of it is in the cache. */
void vos_relay_prefetch(const struct vos_socket *in)
{
    const struct vos_leg *leg = &in->stream->leg[in->side], *other = &in->stream->leg[!in->side];
    const char *counters = (const char *)&leg->entry.counters;
    for (size_t at = 0; at < sizeof leg->entry.counters; at += 64)
        __builtin_prefetch(counters + at, 1);
    __builtin_prefetch(&leg->entry.match.remote);
    __builtin_prefetch(&leg->view.last_ms, 1);
    __builtin_prefetch(&leg->source, 1);
    __builtin_prefetch(&leg->judge);
    __builtin_prefetch(&leg->mux);
    __builtin_prefetch(leg->clocks);
    __builtin_prefetch(&other->rtp);
    __builtin_prefetch(&other->tx);
    __builtin_prefetch(&other->entry.counters.sent, 1);
}

void vos_relay_packet(struct vos_worker *worker, struct vos_socket *in, const struct sockaddr_storage *name,
                      size_t length)
{
    const struct vos_leg *leg = &in->stream->leg[in->side];
    struct vos_addr from;
    vos_addr_from_sock(name, &from);
    worker->now_us = vos_now_us();
    bool rtcp = in->rtcp || (leg->mux && vos_is_rtcp(worker->packet, length) &&
                             !vos_type_listed(leg->entry.match.payload_types, worker->packet[1] & 0x7f));
    if (leg->udptl)
        relay_udptl(worker, in, &from, length);
    else if (rtcp)
        relay_rtcp(worker, in, &from, length);
    else
        relay_rtp(worker, in, &from, length);
}

void vos_relay_receive(struct vos_worker *worker, struct vos_socket *in)
{
    struct sockaddr_storage name;
    socklen_t name_length = sizeof name;
    worker->packet = worker->own;
    ssize_t length = recvfrom(in->fd, worker->packet, VOS_PACKET_MAX, MSG_DONTWAIT, (struct sockaddr *)&name,
                              &name_length);
    if (length >= 0) /* else nothing there, or news of an earlier packet, which reading has taken off */
        vos_relay_packet(worker, in, &name, (size_t)length);
}

void vos_relay_tick(struct vos_worker *worker, struct vos_stream *stream, uint64_t now_ms)
{
    uint64_t since = 0;
    bool whole = true; /* while a far end is not known yet, the telephone still rings */
    for (uint32_t side = 0; side < 2; side++) {
        const struct vos_leg *leg = &stream->leg[side];
        since = leg->since_ms > since ? leg->since_ms : since;
        whole = whole && (leg->learner.signalled.family || leg->entry.match.remote.family);
    }
    for (uint32_t side = 0; side < 2; side++) {
        struct vos_leg *leg = &stream->leg[side];
        uint64_t last = leg->view.last_ms > since ? leg->view.last_ms : since;
        uint64_t idle = now_ms > last ? now_ms - last : 0;
        bool late = whole && leg->timeout_ms && leg->receive && idle >= leg->timeout_ms;
        if (late && leg->told_ms != last)
            event(worker, stream, side, VOS_TIMEOUT, idle);
        leg->told_ms = late ? last : 0;
    }
}
