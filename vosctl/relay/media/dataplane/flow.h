/* What the worker and the kernel's program share of a settled direction: one value of an array map, mapped by both.
 *
 * `gate` says whose the flow is. Its upper half is the flow's generation: an index that is given to another call gets
 * another one, so that nothing that was looked up before finds the gate open. Of the lower half, the last two bits are
 * the state, and the rest is
 *   in VOS_GATE_WAIT: bit 2, and in bits 8 to 23 the sequence number of the packet that went to the socket last;
 *   in VOS_GATE_OPEN and VOS_GATE_BUSY: a number that differs after each packet.
 * The worker opens it in the very state in which the packet that it has just relayed is the last that went to the
 * socket: then nothing is on the way between them, and none is overtaken. Who holds it busy is a CPU that counts. */
#ifndef VOS_FLOW_H
#define VOS_FLOW_H

#include <stdint.h>

#define VOS_GATE_SHUT 0u
#define VOS_GATE_WAIT 1u
#define VOS_GATE_OPEN 2u
#define VOS_GATE_BUSY 3u
#define VOS_GATE_STATE 3u
#define VOS_GATE_SEEN 4u
#define VOS_GATE_STEP 4u
#define VOS_GATE_SEQUENCE 8 /* bits to shift */

#define VOS_FLOW_MUX 1u /* payload types 64 to 95 are RTCP, and the socket's */
#define VOS_FLOW_V6 2u

#define VOS_FLOW_AHEAD 32u  /* a longer gap is the worker's to judge */
#define VOS_FLOW_LONGEST 1400u /* bytes of UDP payload: what fits every path without a look at its MTU */

/* All clear but for what is used: it is compared as bytes. Ports and addresses are in network order. */
struct vos_flow_key {
    uint32_t source[4], destination[4];
    uint16_t source_port, destination_port;
    uint32_t family; /* 4 or 6 */
};

struct vos_flow_place {
    uint32_t index, generation;
};

/* As struct vos_source and struct vos_counters have it; counts begin with 0 when the gate opens. */
struct vos_flow_seen {
    uint64_t packets, bytes, reordered, duplicate, loss_runs, run_lost, burst_lost, last_ns, window;
    uint32_t transit, jitter, timestamp, step;
    uint32_t cycles, run, spacing; /* spacing: the step that came twice running, in ticks; 0: none did */
    uint16_t highest, base;
};

struct vos_flow {
    uint64_t gate;
    uint32_t ssrc, clock;
    uint32_t arrived, leaves; /* devices; `arrived` is where the packet before came in */
    uint32_t source[4], destination[4];
    uint16_t source_port, destination_port;
    uint8_t payload_type, tos, ttl, flags;
    struct vos_flow_seen seen;
};

#endif
