/* Who may send to a leg: the rules that make injection and bleeding impossible.
 *
 * `sdp` takes the signalled address and nothing else. `nat` takes the signalling's own host and locks to the
 * first port that sends a negotiated payload type. `any` locks to a source after several packets of one SSRC
 * in sequence. Once locked, only the locked address is heard; only signalling unlocks. */
#include <string.h>

#include "internal.h"

static void lock(struct vos_leg *leg, const struct vos_addr *from)
{
    leg->entry.match.remote = *from;
    leg->learner.previous_until_us = 0;
}

void vos_learn_set(struct vos_leg *leg, const struct vos_leg_conf *conf)
{
    struct vos_learner *learner = &leg->learner;
    struct vos_addr *locked = &leg->entry.match.remote;
    if (locked->family)
        learner->previous = *locked;
    learner->rule = conf->learn;
    learner->from = conf->from;
    learner->signalled = conf->remote;
    memset(learner->candidate, 0, sizeof learner->candidate);
    memset(locked, 0, sizeof *locked);
    learner->previous_until_us = 0;
    if (learner->rule == VOS_LEARN_SDP)
        *locked = learner->signalled;
    else if (learner->rule == VOS_LEARN_ANY || vos_addr_same_host(&learner->previous, &learner->from))
        learner->previous_until_us = leg->heard ? vos_now_us() + VOS_PREVIOUS_US : 0;
}

void vos_learn_set_rtcp(struct vos_leg *leg, const struct vos_leg_conf *conf)
{
    struct vos_learner *learner = &leg->learner;
    leg->mux = conf->mux;
    learner->rtcp_signalled = conf->rtcp_remote;
    if (!conf->rtcp_remote.family && conf->remote.family) {
        learner->rtcp_signalled = conf->remote;
        learner->rtcp_signalled.port = (uint16_t)(conf->remote.port + (conf->mux ? 0 : 1));
    }
    memset(&leg->rtcp_remote, 0, sizeof leg->rtcp_remote);
    if (learner->rule == VOS_LEARN_SDP)
        leg->rtcp_remote = learner->rtcp_signalled;
}

/* Several sources are on probation at once, so that a flood of strangers cannot keep the real one out. */
static bool probation(struct vos_learner *learner, const struct vos_addr *from, const struct vos_rtp *rtp)
{
    struct vos_candidate *oldest = learner->candidate;
    for (struct vos_candidate *c = learner->candidate; c < learner->candidate + VOS_CANDIDATES; c++) {
        if (vos_addr_same(&c->addr, from) && c->ssrc == rtp->ssrc) {
            c->run = rtp->sequence == c->next ? c->run + 1 : 1;
            c->next = (uint16_t)(rtp->sequence + 1);
            c->age = ++learner->clock;
            return c->run >= VOS_PROBATION;
        }
        if (c->run < oldest->run || (c->run == oldest->run && c->age < oldest->age))
            oldest = c;
    }
    *oldest = (struct vos_candidate){.addr = *from,
                                     .ssrc = rtp->ssrc,
                                     .next = (uint16_t)(rtp->sequence + 1),
                                     .run = 1,
                                     .age = ++learner->clock};
    return false;
}

/* After a change, what the old source still sends is genuine, but it must not take the new one's place. */
static bool previous(struct vos_leg *leg, const struct vos_addr *from, uint64_t now_us, bool *locked)
{
    const struct vos_learner *learner = &leg->learner;
    if (!learner->previous_until_us || !vos_addr_same(from, &learner->previous))
        return false;
    *locked = now_us > learner->previous_until_us;
    if (*locked)
        lock(leg, from);
    return true;
}

/* For a source that is not the locked one: whether to take the packet, and whether that locks it. */
bool vos_learn_rtp(struct vos_leg *leg, const struct vos_addr *from, const struct vos_rtp *rtp, uint64_t now_us,
                   bool *locked)
{
    struct vos_learner *learner = &leg->learner;
    *locked = false;
    if (leg->entry.match.remote.family || learner->rule == VOS_LEARN_SDP)
        return false;
    if (learner->rule == VOS_LEARN_NAT && !vos_addr_same_host(from, &learner->from))
        return false;
    if (!vos_type_fits(leg->entry.match.payload_types, rtp->payload_type))
        return false;
    if (previous(leg, from, now_us, locked))
        return true;
    bool proven = vos_cipher_srtp(leg->rx) || vos_addr_same(from, &learner->signalled);
    if (learner->rule == VOS_LEARN_ANY && !proven && !probation(learner, from, rtp))
        return false;
    lock(leg, from);
    *locked = true;
    return true;
}

/* RTCP has a port of its own behind a NAT: it locks to the first valid packet of the host that sends the RTP. */
bool vos_learn_rtcp(struct vos_leg *leg, const struct vos_addr *from)
{
    const struct vos_learner *learner = &leg->learner;
    const struct vos_addr *rtp = &leg->entry.match.remote;
    if (vos_addr_same(from, &leg->rtcp_remote))
        return true;
    if (leg->rtcp_remote.family || learner->rule == VOS_LEARN_SDP)
        return false;
    if (learner->rule == VOS_LEARN_NAT ? !vos_addr_same_host(from, &learner->from) : !vos_addr_same_host(from, rtp))
        return false;
    leg->rtcp_remote = *from;
    return true;
}
