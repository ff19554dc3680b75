/* Sends the packets of many RTP flows at an exact rate and watches what a relay makes of them.
 *
 * One thread, one packet socket: frames go out and come in below the IP layer of its own machine, so that a
 * core can do the work of a whole carrier's telephones. Frames that come back are for a link address that is
 * nobody's, so the kernel drops them after this program has seen them. On standard input:
 *
 *     flow SOURCE PORT RELAY PORT EXPECTED PORT [KEY]    a flow: from, to, and where the relay is to send it;
 *                                                        KEY (60 hex digits): SRTP, AES_CM_128_HMAC_SHA1_80;
 *                                                        KEY (MODE:KEY): a trunk's encryption, with salt 0, and
 *                                                        the relay is to send the payload in clear
 *     run RATE SECONDS TICK_US                           send RATE packets a second, those of a tick together;
 *                                                        TICK_US 0: one by one, evenly, and none to make up for
 *                                                        one that was late
 *
 * A run is answered with one line of JSON; latencies are in microseconds. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "rtpload.h"

#define FLOWS_MAX 32768
#define RTP_BYTES 172
#define HEADERS (14 + 20 + 8)
#define FRAME_MAX (HEADERS + RTP_BYTES + SEAL_MAX)
#define HISTORY 64 /* packets of a flow that may be under way at once */
#define BATCH 64
/* Headers alone, and a ring that a cache holds: who sends pays for this copy, and that is the relay. */
#define RING_FRAME 128
#define SEEN (HEADERS + 12 + 8)
#define RING_BLOCK (1 << 16)
#define RING_BLOCKS 16
#define LATENCY_MAX 100000 /* microseconds; what takes longer counts as this */
#define WAKE_NS 5000 /* what waking up takes */
#define SETTLE_NS 300000000
#define WATCH_NS 50000000 /* no real-time task may keep a core for longer than 0.95 s of each second */
#define NAP_NS 4000000

struct flow {
    uint8_t frame[FRAME_MAX];
    uint32_t expected_ip;
    uint16_t expected_port, sequence;
    uint16_t length; /* of the frame, once sealed */
    struct seal *seal;
    struct crypt *crypt;
    uint8_t plain[RTP_BYTES - 12]; /* with `crypt`: the payload before it */
    uint64_t sent_ns[HISTORY], got[(1 << 16) / 64];
};

static struct flow *flows[FLOWS_MAX];
static uint32_t flow_count;
static int raw;
static uint8_t *ring;
static uint32_t ring_at, ring_frames;
static uint32_t histogram[LATENCY_MAX + 1];
static uint64_t sent, refused, received, stray, repeated, altered;

static void die(const char *what)
{
    fprintf(stderr, "rtpload: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint16_t checksum(const uint8_t *data, size_t length)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i += 2)
        sum += (uint32_t)data[i] << 8 | data[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void store16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void store32(uint8_t *at, uint32_t value)
{
    store16(at, (uint16_t)(value >> 16));
    store16(at + 2, (uint16_t)value);
}

/* Lengths and the sum of the IP header; a UDP checksum of 0 says there is none (RFC 768). */
static void finish(struct flow *flow, size_t rtp)
{
    flow->length = (uint16_t)(HEADERS + rtp);
    store16(flow->frame + 16, (uint16_t)(28 + rtp));
    store16(flow->frame + 24, 0);
    store16(flow->frame + 24, checksum(flow->frame + 14, 20));
    store16(flow->frame + 38, (uint16_t)(8 + rtp));
}

static void add_flow(const uint8_t link[14], const char *line)
{
    char source[64], relay[64], expected[64], key[300] = "";
    unsigned port, relay_port, expected_port;
    struct flow *flow = calloc(1, sizeof *flow);
    if (!flow || flow_count == FLOWS_MAX ||
        sscanf(line, "flow %63s %u %63s %u %63s %u %299s", source, &port, relay, &relay_port, expected,
               &expected_port, key) < 6)
        die("flow");
    uint8_t *ip = flow->frame + 14, *rtp = flow->frame + HEADERS;
    memcpy(flow->frame, link, 14);
    ip[0] = 0x45;
    ip[1] = 46 << 2;
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = IPPROTO_UDP;
    if (inet_pton(AF_INET, source, ip + 12) != 1 || inet_pton(AF_INET, relay, ip + 16) != 1 ||
        inet_pton(AF_INET, expected, &flow->expected_ip) != 1)
        die("address");
    store16(ip + 20, (uint16_t)port);
    store16(ip + 22, (uint16_t)relay_port);
    flow->expected_port = (uint16_t)expected_port;
    rtp[0] = 0x80;
    store32(rtp + 8, flow_count);
    for (int i = 12; i < RTP_BYTES; i++)
        rtp[i] = (uint8_t)(0xd5 ^ (i * 7 + (int)flow_count)); /* PCMU; what it says does not matter */
    flow->sequence = (uint16_t)(flow_count * 17);
    memcpy(flow->plain, rtp + 12, sizeof flow->plain);
    if (strchr(key, ':'))
        flow->crypt = crypt_new(key);
    else if (*key)
        flow->seal = seal_new(key, flow_count);
    finish(flow, RTP_BYTES);
    flows[flow_count++] = flow;
}

static void next_packet(struct flow *flow, uint64_t now)
{
    uint8_t *rtp = flow->frame + HEADERS;
    uint16_t sequence = ++flow->sequence;
    store16(rtp + 2, sequence);
    store32(rtp + 4, (uint32_t)sequence * 160);
    if (flow->seal)
        finish(flow, seal_packet(flow->seal, rtp, RTP_BYTES));
    if (flow->crypt) {
        memcpy(rtp + 12, flow->plain, sizeof flow->plain);
        crypt_packet(flow->crypt, rtp, RTP_BYTES);
    }
    flow->sent_ns[sequence % HISTORY] = now;
    flow->got[sequence / 64] &= ~((uint64_t)1 << sequence % 64);
}

static void send_batch(uint64_t first, uint32_t count)
{
    struct mmsghdr messages[BATCH];
    struct iovec pieces[BATCH];
    memset(messages, 0, sizeof messages);
    uint64_t now = now_ns();
    for (uint32_t i = 0; i < count; i++) {
        struct flow *flow = flows[(first + i) % flow_count];
        next_packet(flow, now);
        pieces[i] = (struct iovec){flow->frame, flow->length};
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    int done = sendmmsg(raw, messages, count, MSG_DONTWAIT);
    sent += count;
    refused += count - (uint32_t)(done < 0 ? 0 : done);
}

static void take(const uint8_t *frame, uint32_t length, uint64_t at)
{
    const uint8_t *ip = frame + 14, *rtp = frame + HEADERS;
    if (length < HEADERS + 12 || frame[12] != 8 || frame[13] != 0 || ip[9] != IPPROTO_UDP || rtp[0] != 0x80)
        return;
    uint32_t index = (uint32_t)rtp[8] << 24 | (uint32_t)rtp[9] << 16 | (uint32_t)rtp[10] << 8 | rtp[11];
    uint16_t sequence = (uint16_t)(rtp[2] << 8 | rtp[3]);
    if (index >= flow_count || memcmp(ip + 16, &flows[index]->expected_ip, 4) != 0 ||
        (uint16_t)(ip[22] << 8 | ip[23]) != flows[index]->expected_port) {
        stray++;
        return;
    }
    struct flow *flow = flows[index];
    uint64_t bit = (uint64_t)1 << sequence % 64;
    if (flow->got[sequence / 64] & bit) {
        repeated++;
        return;
    }
    flow->got[sequence / 64] |= bit;
    received++;
    /* As much of the payload as the copy holds. */
    altered += flow->crypt && (length < SEEN || memcmp(rtp + 12, flow->plain, SEEN - HEADERS - 12) != 0);
    uint64_t began = flow->sent_ns[sequence % HISTORY];
    uint64_t took = at > began ? (at - began) / 1000 : 0;
    histogram[took < LATENCY_MAX ? took : LATENCY_MAX]++;
}

static void take_all(void)
{
    for (;;) {
        struct tpacket2_hdr *slot = (struct tpacket2_hdr *)(ring + (size_t)ring_at * RING_FRAME);
        if (!(__atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
            return;
        take((uint8_t *)slot + slot->tp_mac, slot->tp_snaplen, (uint64_t)slot->tp_sec * 1000000000u + slot->tp_nsec);
        __atomic_store_n(&slot->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        ring_at = (ring_at + 1) % ring_frames;
    }
}

static double percentile(double share)
{
    uint64_t wanted = (uint64_t)((double)received * share), seen = 0;
    for (uint32_t i = 0; i <= LATENCY_MAX; i++)
        if ((seen += histogram[i]) > wanted)
            return i;
    return 0;
}

/* Sleeps until shortly before `until`: a core that is never idle would be taken away from a real-time task. */
static void rest(uint64_t until)
{
    uint64_t now = now_ns();
    if (until < now + WAKE_NS)
        return;
    struct timespec pause = {.tv_nsec = (long)(until - now - WAKE_NS)};
    nanosleep(&pause, NULL);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Sends one packet at a time, each stamped as it leaves, and returns how many left a whole interval late or more.
 * It never sleeps between two packets, for waking up takes as long as a packet stays in a relay. */
static uint64_t send_evenly(uint64_t wanted, double rate)
{
    uint64_t gap = (uint64_t)(1e9 / rate), due = now_ns(), late = 0, nap = due + WATCH_NS;
    for (uint64_t done = 0; done < wanted;) {
        uint64_t now = now_ns();
        take_all();
        if (now < due) {
            relax();
        } else if (now > nap) {
            nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
            due = now_ns();
            nap = due + WATCH_NS;
        } else {
            late += now > due + gap;
            due = now > due + gap ? now + gap : due + gap;
            send_batch(done++, 1);
        }
    }
    return late;
}

static void run(double rate, double seconds, uint64_t tick_ns)
{
    sent = refused = received = stray = repeated = altered = 0;
    memset(histogram, 0, sizeof histogram);
    take_all();
    uint64_t start = now_ns(), wanted = (uint64_t)(rate * seconds), done = 0, behind = 0, now;
    if (!tick_ns) {
        behind = send_evenly(wanted, rate);
        done = wanted;
    }
    while (done < wanted) {
        now = now_ns();
        uint64_t elapsed = now - start;
        elapsed -= elapsed % tick_ns;
        uint64_t due = (uint64_t)((double)elapsed * rate / 1e9);
        due = due < wanted ? due : wanted;
        behind = due - done > behind ? due - done : behind;
        uint32_t count = (uint32_t)(due - done < BATCH ? due - done : BATCH);
        if (count)
            send_batch(done, count);
        done += count;
        take_all();
        if (!count)
            rest(start + (elapsed / tick_ns + 1) * tick_ns);
    }
    double took = (double)(now_ns() - start) / 1e9;
    for (uint64_t end = now_ns() + SETTLE_NS; now_ns() < end && received < sent;)
        take_all();
    struct tpacket_stats lost = {0};
    socklen_t size = sizeof lost;
    getsockopt(raw, SOL_PACKET, PACKET_STATISTICS, &lost, &size);
    printf("{\"sent\": %lu, \"refused\": %lu, \"received\": %lu, \"stray\": %lu, \"repeated\": %lu, \"altered\": %lu, "
           "\"unseen\": %u, \"behind\": %lu, \"seconds\": %.4f, \"p50\": %.0f, \"p99\": %.0f, \"p999\": %.0f}\n",
           sent, refused, received, stray, repeated, altered, lost.tp_drops, behind, took, percentile(0.5),
           percentile(0.99), percentile(0.999));
    fflush(stdout);
}

static void open_raw(const char *name)
{
    int version = TPACKET_V2, on = 1;
    struct tpacket_req size = {.tp_block_size = RING_BLOCK,
                               .tp_block_nr = RING_BLOCKS,
                               .tp_frame_size = RING_FRAME,
                               .tp_frame_nr = RING_BLOCK / RING_FRAME * RING_BLOCKS};
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_IP),
                             .sll_ifindex = (int)if_nametoindex(name)};
    raw = socket(AF_PACKET, SOCK_RAW, 0);
    if (raw < 0 || setsockopt(raw, SOL_PACKET, PACKET_VERSION, &version, sizeof version) ||
        setsockopt(raw, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) ||
        setsockopt(raw, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) ||
        setsockopt(raw, SOL_PACKET, PACKET_RX_RING, &size, sizeof size))
        die("packet socket");
    ring_frames = size.tp_frame_nr;
    ring = mmap(NULL, (size_t)RING_BLOCK * RING_BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, raw, 0);
    if (ring == MAP_FAILED || bind(raw, (struct sockaddr *)&at, sizeof at))
        die(name);
}

/* rtpload INTERFACE RELAY-LINK-ADDRESS (12 hex digits) */
int main(int count, char **words)
{
    static char line[1024];
    uint8_t link[14] = {[6] = 2, [11] = 1, [12] = 8, [13] = 0};
    double rate, seconds;
    unsigned tick_us;
    if (count != 3)
        return 2;
    for (int i = 0; i < 6; i++)
        if (sscanf(words[2] + 2 * i, "%2hhx", &link[i]) != 1)
            return 2;
    open_raw(words[1]);
    while (fgets(line, sizeof line, stdin)) {
        if (line[0] == 'f')
            add_flow(link, line);
        else if (sscanf(line, "run %lf %lf %u", &rate, &seconds, &tick_us) == 3 && flow_count)
            run(rate, seconds, (uint64_t)tick_us * 1000);
        else
            return 2;
    }
    return 0;
}
