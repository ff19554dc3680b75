/* Which directions the kernel forwards by itself, and since when: entering, leaving, and what it has counted.
 *
 * A direction enters after some packets that found nothing to do but to be sent on. It leaves before anything of its
 * stream changes, and when a packet of it comes to the socket although its gate is open. What the kernel counts is
 * added up where the rest is counted, so nobody else has to know. All of it runs on the worker that owns the stream. */
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "kernel.h"

#define SETTLED 16 /* packets before a direction enters; twice as many after each time that it had to leave */
#define SETTLED_MOST 512
#define PATIENCE 1000
#define OFFERS 64 /* packets that may pass while the gate waits */

/* While a CPU counts a packet, which takes it a fraction of a microsecond. Where the worker's priority keeps it from
 * that, as a real-time kernel may let it, it gets its turn in the end. */
static void pause_at(uint32_t *turns)
{
    if (++*turns % PATIENCE)
        VOS_RELAX();
    else
        nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL);
}

static uint64_t gate_of(const struct vos_flow *flow)
{
    return __atomic_load_n(&flow->gate, __ATOMIC_ACQUIRE);
}

static bool move_gate(struct vos_flow *flow, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(&flow->gate, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static bool plain(const struct vos_stream *stream, const struct vos_leg *leg, const struct vos_leg *other)
{
    return !stream->tapped && leg->entry.decrypt.mode == VOS_NONE && leg->entry.encrypt.mode == VOS_NONE &&
           !leg->filter && (!leg->digits || leg->digits_done) && !leg->judge && !leg->playout && !leg->udptl &&
           !other->udptl && !other->playing;
}

/* Both ends are known and open, and nothing that may yet change by a packet is left. */
static bool locked(const struct vos_leg *leg, const struct vos_leg *other)
{
    const struct vos_addr *from = &leg->entry.match.remote, *to = &other->entry.match.remote;
    return leg->entry.flags & VOS_FORWARD && leg->heard && !leg->moved && !other->moved && to->family == from->family &&
           vos_addr_same(to, &other->rtp.to) && !from->scope && !to->scope && !leg->entry.match.local.scope;
}

/* The packet at hand is what the kernel can go on from: the stream's newest, and of the plainest kind. */
static bool usual(const struct vos_leg *leg, const struct vos_rtp *rtp, size_t length)
{
    const struct vos_source *source = &leg->source;
    return source->known && source->ssrc == rtp->ssrc && source->highest == rtp->sequence && source->clock &&
           source->clock == leg->clocks[rtp->payload_type] && rtp->header == 12 && length <= VOS_FLOW_LONGEST &&
           !vos_type_listed(leg->events, rtp->payload_type);
}

static void words(uint32_t out[4], const struct vos_addr *addr)
{
    memcpy(out, addr->ip, addr->family == 6 ? 16 : 4);
}

static void name(struct vos_flow_key *key, const struct vos_leg *leg)
{
    const struct vos_addr *from = &leg->entry.match.remote, *to = &leg->entry.match.local;
    memset(key, 0, sizeof *key);
    words(key->source, from);
    words(key->destination, to);
    key->source_port = htons(from->port);
    key->destination_port = htons(to->port);
    key->family = from->family;
}

static uint8_t hops(const struct vos_leg *out)
{
    bool six = out->entry.match.local.family == 6;
    int value = 64;
    socklen_t length = sizeof value;
    getsockopt(out->rtp.fd, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_UNICAST_HOPS : IP_TTL, &value, &length);
    return (uint8_t)value;
}

/* All but the gate; it belongs to nobody else as yet. */
static void describe(struct vos_flow *flow, const struct vos_leg *leg, const struct vos_leg *out, const struct vos_rtp *rtp)
{
    const struct vos_addr *from = &out->entry.match.local, *to = &out->rtp.to;
    memset((uint8_t *)flow + sizeof flow->gate, 0, sizeof *flow - sizeof flow->gate);
    flow->ssrc = htonl(rtp->ssrc);
    flow->clock = leg->source.clock;
    words(flow->source, from);
    words(flow->destination, to);
    flow->source_port = htons(from->port);
    flow->destination_port = htons(to->port);
    flow->payload_type = rtp->payload_type;
    flow->tos = (uint8_t)(out->dscp << 2);
    flow->ttl = hops(out);
    flow->flags = leg->mux ? VOS_FLOW_MUX : 0;
    flow->leaves = vos_route_device(from, to, flow->tos);
}

static void enter(struct vos_leg *leg, const struct vos_leg *out, const struct vos_rtp *rtp)
{
    struct vos_settled *settled = &leg->settled;
    settled->quiet = 0;
    struct vos_flow *flow = vos_kernel_place(&settled->index);
    if (!flow)
        return;
    uint32_t generation = (uint32_t)(gate_of(flow) >> 32) + 1;
    struct vos_flow_place place = {settled->index, generation};
    describe(flow, leg, out, rtp);
    name(&settled->key, leg);
    __atomic_store_n(&flow->gate, (uint64_t)generation << 32 | VOS_GATE_WAIT, __ATOMIC_RELEASE);
    if (!flow->leaves || vos_kernel_put(&settled->key, &place)) {
        __atomic_store_n(&flow->gate, (uint64_t)generation << 32 | VOS_GATE_SHUT, __ATOMIC_RELEASE);
        vos_kernel_give(settled->index);
        settled->wait = SETTLED_MOST;
        return;
    }
    settled->flow = flow;
    settled->open = false;
    settled->offers = 0;
    memset(&settled->told, 0, sizeof settled->told);
}

static void lend(struct vos_flow_seen *seen, const struct vos_source *source)
{
    memset(seen, 0, sizeof *seen);
    seen->window = source->window;
    seen->transit = source->transit;
    seen->jitter = source->jitter;
    seen->timestamp = source->timestamp;
    seen->step = source->step;
    seen->cycles = source->cycles;
    seen->run = source->run;
    seen->highest = source->highest;
    seen->base = source->base;
}

static void add_up(struct vos_leg *leg, struct vos_leg *other, const struct vos_flow_seen *now)
{
    struct vos_counters *counters = &leg->entry.counters;
    struct vos_source *source = &leg->source;
    const struct vos_flow_seen *told = &leg->settled.told;
    counters->packets += now->packets - told->packets;
    counters->bytes += now->bytes - told->bytes;
    counters->reordered += now->reordered - told->reordered;
    counters->duplicate += now->duplicate - told->duplicate;
    counters->loss_runs += now->loss_runs - told->loss_runs;
    counters->run_lost += now->run_lost - told->run_lost;
    counters->burst_lost += now->burst_lost - told->burst_lost;
    other->entry.counters.sent += now->packets - told->packets;
    other->entry.counters.sent_bytes += now->bytes - told->bytes;
    source->window = now->window;
    source->transit = now->transit;
    source->jitter = now->jitter;
    source->timestamp = now->timestamp;
    source->step = now->step;
    source->cycles = now->cycles;
    source->run = now->run;
    source->highest = now->highest;
    counters->expected = source->expected_prior + source->cycles + source->highest - source->base + 1u;
    counters->jitter_us = (uint32_t)((uint64_t)(source->jitter >> 4) * 1000000u / source->clock);
    if (now->spacing)
        counters->ptime_us = (uint32_t)((uint64_t)now->spacing * 1000000u / source->clock);
    if (now->last_ns / 1000000u > leg->view.last_ms)
        leg->view.last_ms = now->last_ns / 1000000u;
    leg->settled.told = *now;
}

/* Adds what the kernel has counted since the last time. It goes on counting: read again what changed meanwhile. */
static void fold(struct vos_leg *leg, struct vos_leg *other)
{
    const struct vos_flow *flow = leg->settled.flow;
    struct vos_flow_seen now;
    uint64_t before, after;
    if (!leg->settled.open)
        return;
    for (uint32_t turns = 0;; pause_at(&turns)) {
        before = gate_of(flow);
        now = flow->seen;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        after = gate_of(flow);
        if (before == after && (before & VOS_GATE_STATE) != VOS_GATE_BUSY)
            break;
    }
    if (now.packets != leg->settled.told.packets)
        add_up(leg, other, &now);
}

static void leave(struct vos_leg *leg, struct vos_leg *other)
{
    struct vos_settled *settled = &leg->settled;
    struct vos_flow *flow = settled->flow;
    settled->quiet = 0;
    if (!flow)
        return;
    for (uint32_t turns = 0;;) {
        uint64_t gate = gate_of(flow), state = gate & VOS_GATE_STATE;
        if (state == VOS_GATE_SHUT || (state != VOS_GATE_BUSY && move_gate(flow, gate, gate - state)))
            break;
        pause_at(&turns);
    }
    fold(leg, other);
    if (settled->open)
        vos_kernel_count(false);
    vos_kernel_take(&settled->key);
    settled->flow = NULL;
    settled->open = false;
    vos_kernel_give(settled->index);
}

/* The worker is up to date with the kernel if the packet that it has just relayed is the last that it was given. */
static void offer(struct vos_leg *leg, const struct vos_leg *other, const struct vos_rtp *rtp, size_t length)
{
    struct vos_settled *settled = &leg->settled;
    struct vos_flow *flow = settled->flow;
    uint64_t waits = gate_of(flow) >> 32 << 32 | (uint32_t)rtp->sequence << VOS_GATE_SEQUENCE | VOS_GATE_SEEN | VOS_GATE_WAIT;
    if (usual(leg, rtp, length) && plain(leg->rtp.stream, leg, other) && locked(leg, other)) {
        lend(&flow->seen, &leg->source);
        settled->open = move_gate(flow, waits, waits >> 32 << 32 | VOS_GATE_OPEN);
    }
    if (settled->open)
        vos_kernel_count(true);
    else
        settled->offers++;
}

/* Before the worker looks at a packet of the locked source: whatever the kernel knows of it comes back. */
void vos_settled_arrived(struct vos_stream *stream, uint8_t side)
{
    struct vos_leg *leg = &stream->leg[side];
    struct vos_settled *settled = &leg->settled;
    if (!settled->flow)
        return;
    if (!settled->open && settled->offers < OFFERS && (gate_of(settled->flow) & VOS_GATE_STATE) == VOS_GATE_WAIT)
        return;
    leave(leg, &stream->leg[!side]);
    settled->wait = settled->wait * 2 > SETTLED_MOST ? SETTLED_MOST : settled->wait * 2;
}

/* After the worker has relayed it. */
void vos_settled_relayed(struct vos_stream *stream, uint8_t side, const struct vos_rtp *rtp, size_t length)
{
    struct vos_leg *leg = &stream->leg[side], *other = &stream->leg[!side];
    struct vos_settled *settled = &leg->settled;
    if (!settled->wait)
        settled->wait = SETTLED;
    if (settled->flow)
        offer(leg, other, rtp, length);
    else if (settled->quiet < settled->wait)
        settled->quiet++;
    else if (vos_kernel_used() && usual(leg, rtp, length) &&
             plain(stream, leg, other) && locked(leg, other))
        enter(leg, other, rtp);
}

/* Before anything of the stream changes. */
void vos_settled_leave(struct vos_stream *stream)
{
    leave(&stream->leg[0], &stream->leg[1]);
    leave(&stream->leg[1], &stream->leg[0]);
}

void vos_settled_fold(struct vos_stream *stream)
{
    for (int side = 0; side < 2; side++)
        if (stream->leg[side].settled.flow)
            fold(&stream->leg[side], &stream->leg[!side]);
}

/* Once a second. Another route may lead to another device, so all leave, and enter anew. */
void vos_settled_tick(struct vos_worker *worker)
{
    uint32_t routes = vos_kernel_routes(worker->number == 1);
    bool all = worker->routes != routes || !vos_kernel_used();
    worker->routes = routes;
    for (struct vos_stream *stream = worker->streams; stream; stream = stream->next) {
        if (all)
            vos_settled_leave(stream);
        else
            vos_settled_fold(stream);
    }
}
