/* Streams and their legs: made and freed by the host's thread, changed only by the worker that owns them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static void rest(struct vos_leg *leg, const struct vos_leg_conf *conf)
{
    if (conf->receive && !leg->receive)
        leg->since_ms = vos_now_us() / 1000;
    leg->send = conf->send;
    leg->receive = conf->receive;
    leg->timeout_ms = conf->timeout_ms;
    leg->filter = conf->filter;
    leg->udptl = conf->udptl;
    memcpy(leg->events, conf->events, sizeof leg->events);
    memcpy(leg->clocks, conf->clocks, sizeof leg->clocks);
    memcpy(leg->entry.match.payload_types, conf->payload_types, sizeof conf->payload_types);
    if (leg->dscp != conf->dscp) {
        leg->dscp = conf->dscp;
        vos_socket_mark(leg->rtp.fd, leg->entry.match.local.family, conf->dscp);
        vos_socket_mark(leg->rtcp.fd, leg->entry.match.local.family, conf->dscp);
    }
}

/* Where to send while the far end is not heard yet: never to an address that learning would not accept. */
static const struct vos_addr *guess(const struct vos_leg *leg, const struct vos_addr *signalled)
{
    static const struct vos_addr nowhere;
    const struct vos_learner *learner = &leg->learner;
    if (learner->rule == VOS_LEARN_ANY || vos_addr_same_host(signalled, &learner->from))
        return signalled;
    return &nowhere;
}

static void aim(struct vos_leg *leg)
{
    const struct vos_learner *learner = &leg->learner;
    const struct vos_addr *rtp = &leg->entry.match.remote, *rtcp = &leg->rtcp_remote;
    if (!rtp->family && learner->rule == VOS_LEARN_NAT && learner->previous_until_us)
        rtp = &learner->previous;
    else if (!rtp->family)
        rtp = guess(leg, &learner->signalled);
    if (!rtcp->family)
        rtcp = guess(leg, &learner->rtcp_signalled);
    vos_socket_aim(&leg->rtp, rtp);
    vos_socket_aim(&leg->rtcp, rtcp);
}

static void publish(struct vos_leg *leg)
{
    struct vos_view *view = &leg->view;
    if (vos_addr_same(&view->learned, &leg->entry.match.remote) &&
        vos_addr_same(&view->rtcp_learned, &leg->rtcp_remote))
        return;
    __atomic_add_fetch(&view->version, 1, __ATOMIC_SEQ_CST);
    view->learned = leg->entry.match.remote;
    view->rtcp_learned = leg->rtcp_remote;
    __atomic_add_fetch(&view->version, 1, __ATOMIC_SEQ_CST);
}

/* Completes both entries after anything of either leg has changed. */
void vos_stream_refresh(struct vos_stream *stream)
{
    vos_settled_leave(stream);
    for (int side = 0; side < 2; side++) {
        aim(&stream->leg[side]);
        publish(&stream->leg[side]);
    }
    for (int side = 0; side < 2; side++) {
        const struct vos_leg *out = &stream->leg[!side];
        struct vos_leg *in = &stream->leg[side];
        struct vos_entry *entry = &in->entry;
        entry->rewrite.source = out->entry.match.local;
        entry->rewrite.destination = out->rtp.to;
        entry->dscp = out->dscp;
        bool whole = entry->match.remote.family && out->rtp.to_len && in->receive && out->send;
        entry->flags = (whole ? VOS_FORWARD : 0) | (in->mux ? VOS_MUX : 0);
    }
}

static void move(struct vos_leg *leg, const struct vos_leg_conf *conf)
{
    vos_socket_unlock(leg);
    vos_learn_set(leg, conf);
    vos_learn_set_rtcp(leg, conf);
    vos_socket_lock(leg);
    leg->moved = leg->heard;
    leg->since_ms = vos_now_us() / 1000;
}

static void swap_cipher(struct vos_cipher **mine, struct vos_cipher **given)
{
    struct vos_cipher *old = *mine;
    *mine = *given;
    *given = old;
}

void vos_stream_apply(struct vos_stream *stream, struct vos_command *command)
{
    struct vos_leg *leg = &stream->leg[command->side], *other = &stream->leg[!command->side];
    if (command->what & VOS_CHANGE_REST)
        rest(leg, command->conf);
    if (command->what & VOS_CHANGE_REMOTE)
        move(leg, command->conf);
    else if (command->what & VOS_CHANGE_RTCP)
        vos_learn_set_rtcp(leg, command->conf);
    if (command->what & VOS_CHANGE_RX) {
        swap_cipher(&leg->rx, &command->rx);
        leg->entry.decrypt = command->conf->rx;
    }
    if (command->what & VOS_CHANGE_TX) {
        swap_cipher(&leg->tx, &command->tx);
        other->entry.encrypt = command->conf->tx;
    }
    if (command->what & (VOS_CHANGE_RX | VOS_CHANGE_JUDGE)) {
        struct vos_judge *old = leg->judge;
        leg->judge = command->judge;
        command->judge = old;
        leg->view.mismatch = 0;
        leg->forged = 0;
    }
    vos_stream_refresh(stream);
}

static int leg_new(struct vos_stream *stream, uint8_t side, const struct vos_leg_conf *conf)
{
    struct vos_leg *leg = &stream->leg[side];
    leg->rtp = (struct vos_socket){.fd = conf->rtp_fd, .side = side, .stream = stream};
    leg->rtcp = (struct vos_socket){.fd = conf->rtcp_fd, .side = side, .stream = stream, .rtcp = true};
    leg->entry.match.local = conf->local;
    leg->entry.decrypt = conf->rx;
    stream->leg[!side].entry.encrypt = conf->tx;
    int error = vos_cipher_new(&conf->rx, &leg->rx);
    if (!error)
        error = vos_cipher_new(&conf->tx, &leg->tx);
    if (!error && conf->judge && !(leg->judge = vos_judge_new()))
        error = -ENOMEM;
    if (!error)
        error = vos_playout_new(&conf->playout, &leg->playout);
    if (error)
        return error;
    rest(leg, conf);
    move(leg, conf);
    return 0;
}

static void leg_free(struct vos_leg *leg)
{
    vos_socket_close(leg->guard);
    vos_cipher_free(leg->rx);
    vos_cipher_free(leg->tx);
    vos_judge_free(leg->judge);
    vos_player_free(leg->player);
    vos_digits_free(leg->digits);
    vos_playout_free(leg->playout);
}

/* The sockets stay the caller's when this fails. */
int vos_stream_new(uint64_t id, const struct vos_leg_conf legs[2], struct vos_stream **out)
{
    struct vos_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return -ENOMEM;
    stream->id = id;
    stream->leg[0].guard = stream->leg[1].guard = -1;
    int error = leg_new(stream, 0, &legs[0]);
    if (!error)
        error = leg_new(stream, 1, &legs[1]);
    if (error) {
        for (int side = 0; side < 2; side++)
            leg_free(&stream->leg[side]);
        vos_wipe(stream, sizeof *stream);
        free(stream);
        return error;
    }
    vos_stream_refresh(stream);
    *out = stream;
    return 0;
}

void vos_stream_free(struct vos_stream *stream)
{
    for (int side = 0; side < 2; side++) {
        leg_free(&stream->leg[side]);
        vos_socket_close(stream->leg[side].rtp.fd);
        vos_socket_close(stream->leg[side].rtcp.fd);
    }
    vos_wipe(stream, sizeof *stream); /* the entries hold keys */
    free(stream);
}

static uint32_t since(uint32_t *seen, int fd)
{
    uint32_t now = fd < 0 ? *seen : vos_socket_drops(fd);
    uint32_t more = now - *seen;
    *seen = now;
    return more;
}

void vos_stream_drops(struct vos_stream *stream)
{
    for (int side = 0; side < 2; side++) {
        struct vos_leg *leg = &stream->leg[side];
        leg->entry.counters.dropped += since(&leg->guard_drops, leg->guard);
        leg->entry.counters.overrun += since(&leg->rtp.kernel_drops, leg->rtp.fd);
        leg->entry.counters.overrun += since(&leg->rtcp.kernel_drops, leg->rtcp.fd);
    }
}
