/* The kernel's part of a settled direction: count the packet, write its new addresses, send it off.
 *
 * Attached where packets come in (tcx). Whatever it does not know to be the one stream that the worker has handed over
 * it leaves alone, and shuts the flow's gate where the stream itself has changed, so that everything that follows comes
 * to the socket in its order. Counting is stats.c's, for the cases that are left: the same source, a gap of less than
 * VOS_FLOW_AHEAD. Compiled by scripts/kernel_program.py; needs no header of the kernel's beyond its interface. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stddef.h>
#include <stdint.h>

#include "../flow.h"

#define NEXT -1 /* TCX_NEXT: other programs', then the socket's */
#define HOST 0 /* PACKET_HOST */
#define BIG16(x) __builtin_bswap16(x)
#define BIG32(x) __builtin_bswap32(x)
#define DONT_FRAGMENT BIG16(0x4000)
#define FRAGMENT BIG16(0x3fff) /* more to come, or an offset */
#define OPAQUE(value) __asm__ volatile("" : "+r"(value)) /* else the compiler makes branches of arithmetic */
#define INLINE static inline __attribute__((always_inline))

static void *(*lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static uint64_t (*now)(void) = (void *)BPF_FUNC_ktime_get_ns;
static int64_t (*difference)(const void *from, uint32_t from_size, const void *to, uint32_t to_size,
                             uint32_t seed) = (void *)BPF_FUNC_csum_diff;
static int (*fix_l4)(struct __sk_buff *skb, uint32_t offset, uint64_t from, uint64_t to,
                     uint64_t flags) = (void *)BPF_FUNC_l4_csum_replace;
static int (*pull)(struct __sk_buff *skb, uint32_t length) = (void *)BPF_FUNC_skb_pull_data;
static int (*leave)(uint32_t device, void *parameters, int length, uint64_t flags) = (void *)BPF_FUNC_redirect_neigh;

extern char vos_places, vos_flows; /* the maps, by their names */

struct rtp {
    uint8_t first, second;
    uint16_t sequence;
    uint32_t timestamp, ssrc;
};

#define UDP4 (sizeof(struct ethhdr) + sizeof(struct iphdr))
#define UDP6 (sizeof(struct ethhdr) + sizeof(struct ipv6hdr))
#define HEADERS (sizeof(struct udphdr) + sizeof(struct rtp)) /* behind IP */

INLINE struct vos_flow *find(const struct vos_flow_key *key, uint32_t *generation)
{
    const struct vos_flow_place *place = lookup(&vos_places, key);
    if (!place)
        return 0;
    uint32_t index = place->index;
    *generation = place->generation;
    return lookup(&vos_flows, &index);
}

INLINE int is_rtcp(const struct vos_flow *flow, const struct rtp *rtp)
{
    uint8_t type = rtp->second & 0x7f;
    return flow->flags & VOS_FLOW_MUX && type >= 64 && type <= 95;
}

INLINE void shut(struct vos_flow *flow, uint64_t gate)
{
    __sync_val_compare_and_swap(&flow->gate, gate, (gate & ~(uint64_t)VOS_GATE_STATE) | VOS_GATE_SHUT);
}

/* The gate, held busy, or 0: the packet is the socket's. */
INLINE uint64_t enter(const struct __sk_buff *skb, struct vos_flow *flow, uint32_t generation, uint32_t sequence,
                      int settled)
{
    uint64_t gate = *(volatile uint64_t *)&flow->gate;
    if (gate >> 32 != generation)
        return 0;
    if ((gate & VOS_GATE_STATE) == VOS_GATE_WAIT) {
        uint64_t seen = (uint64_t)generation << 32 | sequence << VOS_GATE_SEQUENCE | VOS_GATE_SEEN |
                        VOS_GATE_WAIT;
        flow->arrived = skb->ifindex;
        uint64_t found = __sync_val_compare_and_swap(&flow->gate, gate, seen);
        if (found == gate)
            return 0;
        gate = found; /* the worker has just opened it */
    }
    if (gate >> 32 != generation || (gate & VOS_GATE_STATE) != VOS_GATE_OPEN || flow->arrived != skb->ifindex)
        return 0;
    if (!settled) {
        shut(flow, gate);
        return 0;
    }
    if (__sync_val_compare_and_swap(&flow->gate, gate, gate + 1) != gate)
        return 0;
    return gate + 1;
}

INLINE void release(struct vos_flow *flow, uint64_t gate, uint32_t state)
{
    uint64_t next = (uint32_t)gate - VOS_GATE_BUSY + VOS_GATE_STEP + state;
    __sync_lock_test_and_set(&flow->gate, gate >> 32 << 32 | (uint32_t)next);
}

INLINE uint32_t some(uint32_t value)
{
    uint32_t negative = -value;
    OPAQUE(negative);
    return (value | negative) >> 31;
}

/* What falls out of the window, as stats.c has it. */
struct window {
    uint64_t bits;
    uint32_t known, run, runs, lost, burst;
};

/* One place further if `go` is 1. Without branches: each would double what the kernel's verifier has to follow. */
INLINE void step(struct window *window, uint32_t go)
{
    uint32_t full = window->known >> 6 & go, ended = full & (uint32_t)(window->bits >> 63), keep;
    OPAQUE(ended);
    keep = ended - 1;
    OPAQUE(keep);
    window->runs += ended & some(window->run);
    window->lost += window->run & ~keep;
    window->burst += window->run & ~keep & -some(window->run >> 1);
    window->run = (window->run + (full & ~ended)) & keep;
    window->bits <<= go;
    window->known += go & ~full;
}

INLINE void shift(struct vos_flow_seen *seen, uint32_t ahead)
{
    uint64_t known = (uint64_t)seen->cycles + seen->highest - seen->base + 1;
    struct window window = {.bits = seen->window, .known = known > 64 ? 64 : (uint32_t)known, .run = seen->run};
    step(&window, 1);
    for (uint32_t i = 1; i < VOS_FLOW_AHEAD && ahead > 1; i++) {
        uint32_t left = i - ahead; /* negative, while there is any */
        OPAQUE(left);
        step(&window, left >> 31);
    }
    seen->loss_runs += window.runs;
    seen->run_lost += window.lost;
    seen->burst_lost += window.burst;
    seen->run = window.run;
    seen->window = window.bits | 1;
}

INLINE void late(struct vos_flow_seen *seen, uint32_t behind)
{
    uint64_t again = seen->window >> (behind & 63) & 1;
    seen->duplicate += again;
    seen->reordered += again ^ 1;
    seen->window |= (uint64_t)1 << (behind & 63);
}

/* A.1, where it is no jump. */
INLINE void follow(struct vos_flow_seen *seen, uint16_t sequence)
{
    uint16_t ahead = sequence - seen->highest;
    if (!ahead || ahead > VOS_FLOW_AHEAD) {
        late(seen, (uint16_t)-ahead);
        return;
    }
    shift(seen, ahead);
    if (sequence < seen->highest)
        seen->cycles += 1u << 16;
    seen->highest = sequence;
}

/* A.8. */
INLINE void jitter(struct vos_flow_seen *seen, uint32_t clock, uint32_t timestamp, uint64_t ns)
{
    uint64_t us = ns / 1000;
    uint32_t arrival = (uint32_t)(us / 1000000 * clock + us % 1000000 * clock / 1000000);
    uint32_t transit = arrival - timestamp;
    int32_t change = (int32_t)(transit - seen->transit);
    seen->jitter += (uint32_t)(change < 0 ? -change : change) - ((seen->jitter + 8) >> 4);
    seen->transit = transit;
}

INLINE void spacing(struct vos_flow_seen *seen, uint32_t clock, uint16_t sequence, uint32_t timestamp)
{
    uint32_t step = timestamp - seen->timestamp;
    seen->timestamp = timestamp;
    if ((uint16_t)(sequence - seen->highest) != 1 || !step || step > clock)
        return;
    if (step == seen->step)
        seen->spacing = step;
    seen->step = step;
}

/* Counts the packet, if it is the flow's and the gate is open. `length` is that of the UDP payload. */
INLINE int count(const struct __sk_buff *skb, struct vos_flow *flow, uint32_t generation, const struct rtp *rtp,
                 uint32_t length)
{
    int settled = rtp->first >> 6 == 2 && !(rtp->first & 0x1f) && (rtp->second & 0x7f) == flow->payload_type &&
                  rtp->ssrc == flow->ssrc && length >= sizeof *rtp && length <= VOS_FLOW_LONGEST;
    struct vos_flow_seen *seen = &flow->seen;
    uint16_t sequence = BIG16(rtp->sequence);
    uint64_t gate = enter(skb, flow, generation, sequence, settled);
    if (!gate)
        return 0;
    uint16_t ahead = sequence - seen->highest, behind = seen->highest - sequence;
    if (ahead > VOS_FLOW_AHEAD && behind >= 64) {
        release(flow, gate, VOS_GATE_SHUT);
        return 0;
    }
    uint32_t timestamp = BIG32(rtp->timestamp);
    uint64_t ns = now();
    spacing(seen, flow->clock, sequence, timestamp);
    follow(seen, sequence);
    jitter(seen, flow->clock, timestamp, ns);
    seen->packets++;
    seen->bytes += length;
    seen->last_ns = ns;
    release(flow, gate, VOS_GATE_OPEN);
    return 1;
}

INLINE uint16_t fold(uint64_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32 & 0xffff);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* The UDP checksum's share of what has changed; one that was never made (RFC 768) stays so. */
INLINE int seal(struct __sk_buff *skb, uint32_t at, int64_t addresses, uint32_t old_ports, uint32_t new_ports)
{
    return fix_l4(skb, at, 0, (uint64_t)addresses & 0xffffffff, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0) ||
           fix_l4(skb, at, old_ports, new_ports, BPF_F_MARK_MANGLED_0 | sizeof(uint32_t));
}

INLINE uint32_t ports(const struct vos_flow *flow)
{
    return *(const uint32_t *)&flow->source_port;
}

/* As the worker's sockets send: a host's own packet, whole, of no identity (RFC 6864 §4.1). */
INLINE void address4(struct iphdr *ip, const struct vos_flow *flow)
{
    struct iphdr old = *ip, new = *ip;
    new.tos = flow->tos;
    new.id = 0;
    new.frag_off = DONT_FRAGMENT;
    new.ttl = flow->ttl;
    new.saddr = flow->source[0];
    new.daddr = flow->destination[0];
    old.check = new.check = 0;
    uint32_t before = (uint16_t)~ip->check;
    new.check = fold((uint64_t)difference(&old, sizeof old, &new, sizeof new, before));
    *ip = new;
}

/* Makes `length` bytes readable where the packet has as many. What is readable the caller has to ask itself: the
 * verifier lets only those with more rights compare a packet's address with nothing. */
INLINE void reach(struct __sk_buff *skb, uint32_t length)
{
    if (skb->len >= length && (void *)(uint64_t)skb->data + length > (void *)(uint64_t)skb->data_end)
        pull(skb, length);
}

INLINE int settled4(struct __sk_buff *skb)
{
    reach(skb, UDP4 + HEADERS);
    void *data = (void *)(uint64_t)skb->data;
    if (data + UDP4 + HEADERS > (void *)(uint64_t)skb->data_end)
        return NEXT;
    struct iphdr *ip = data + sizeof(struct ethhdr);
    struct udphdr *udp = data + UDP4;
    uint32_t length = BIG16(udp->len);
    if (ip->protocol != IPPROTO_UDP || *(uint8_t *)ip != 0x45 || ip->frag_off & FRAGMENT ||
        BIG16(ip->tot_len) != sizeof *ip + length || skb->len < UDP4 + length)
        return NEXT;
    struct vos_flow_key key = {.source = {ip->saddr}, .destination = {ip->daddr},
                               .source_port = udp->source, .destination_port = udp->dest, .family = 4};
    uint32_t generation;
    struct vos_flow *flow = find(&key, &generation);
    const struct rtp *rtp = data + UDP4 + sizeof *udp;
    if (!flow || is_rtcp(flow, rtp) || !count(skb, flow, generation, rtp, length - sizeof *udp))
        return NEXT;
    uint32_t old[2] = {ip->saddr, ip->daddr}, new[2] = {flow->source[0], flow->destination[0]};
    uint32_t old_ports = *(uint32_t *)udp, new_ports = ports(flow);
    *(uint32_t *)udp = new_ports;
    address4(ip, flow);
    seal(skb, UDP4 + offsetof(struct udphdr, check), difference(old, sizeof old, new, sizeof new, 0), old_ports, new_ports);
    return leave(flow->leaves, 0, 0, 0);
}

INLINE int settled6(struct __sk_buff *skb)
{
    reach(skb, UDP6 + HEADERS);
    void *data = (void *)(uint64_t)skb->data;
    if (data + UDP6 + HEADERS > (void *)(uint64_t)skb->data_end)
        return NEXT;
    struct ipv6hdr *ip = data + sizeof(struct ethhdr);
    struct udphdr *udp = data + UDP6;
    uint32_t length = BIG16(udp->len);
    if (ip->nexthdr != IPPROTO_UDP || ip->version != 6 || !udp->check || BIG16(ip->payload_len) != length ||
        skb->len < UDP6 + length)
        return NEXT;
    struct vos_flow_key key = {.source_port = udp->source, .destination_port = udp->dest, .family = 6};
    uint32_t old[8], new[8], generation;
    __builtin_memcpy(old, &ip->saddr, sizeof old);
    __builtin_memcpy(key.source, old, sizeof old);
    struct vos_flow *flow = find(&key, &generation);
    const struct rtp *rtp = data + UDP6 + sizeof *udp;
    if (!flow || is_rtcp(flow, rtp) || !count(skb, flow, generation, rtp, length - sizeof *udp))
        return NEXT;
    __builtin_memcpy(new, flow->source, sizeof new);
    uint32_t old_ports = *(uint32_t *)udp, new_ports = ports(flow);
    *(uint32_t *)udp = new_ports;
    *(uint32_t *)ip = BIG32(6u << 28 | (uint32_t)flow->tos << 20); /* no flow label */
    ip->hop_limit = flow->ttl;
    __builtin_memcpy(&ip->saddr, new, sizeof new);
    seal(skb, UDP6 + offsetof(struct udphdr, check), difference(old, sizeof old, new, sizeof new, 0), old_ports, new_ports);
    return leave(flow->leaves, 0, 0, 0);
}

__attribute__((section("tcx"), used)) int settled(struct __sk_buff *skb)
{
    if (skb->pkt_type != HOST || skb->gso_segs > 1)
        return NEXT;
    if (skb->protocol == BIG16(ETH_P_IP))
        return settled4(skb);
    if (skb->protocol == BIG16(ETH_P_IPV6))
        return settled6(skb);
    return NEXT;
}
