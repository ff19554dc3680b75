/* Sends UDP datagrams from many source addresses over one interface and tells how long that took.
 *
 * usage: sipsend INTERFACE LINK-ADDRESS(12 hex) DESTINATION PAYLOAD-FILE, then lines on stdin:
 *   source ADDRESS      one more source (IPv4)
 *   run COUNT RATE      send COUNT packets, the sources in turn, RATE a second (0: without a pause);
 *                       answers with the nanoseconds that it took
 *
 * On a veth pair the far end's receive path runs in the sender's context (softirq at the end of each
 * transmission), so without a pause the time of a packet is that of sending and of receiving it.
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { MOST_SOURCES = 1 << 17, LARGEST = 1400 };

static uint32_t sources[MOST_SOURCES];
static uint32_t partial[MOST_SOURCES];
static unsigned count;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static uint16_t folded(uint32_t sum) {
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void rest_until(int64_t when) {
    struct timespec t = {when / 1000000000LL, when % 1000000000LL};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL)) continue;
}

int main(int argc, char **argv) {
    if (argc != 5) return 64;
    int out = socket(AF_PACKET, SOCK_DGRAM, 0);
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_halen = 6};
    to.sll_ifindex = (int)if_nametoindex(argv[1]);
    for (int i = 0; i < 6; i++) {
        char pair[3] = {argv[2][2 * i], argv[2][2 * i + 1], 0};
        to.sll_addr[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
    int yes = 1;
    setsockopt(out, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes);

    static unsigned char packet[28 + LARGEST];
    FILE *file = fopen(argv[4], "rb");
    if (out < 0 || !to.sll_ifindex || !file) return 1;
    size_t length = fread(packet + 28, 1, LARGEST, file);
    struct iphdr *ip = (struct iphdr *)packet;
    struct udphdr *udp = (struct udphdr *)(packet + 20);
    *ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
    ip->tot_len = htons((uint16_t)(28 + length));
    inet_pton(AF_INET, argv[3], &ip->daddr);
    *udp = (struct udphdr){.source = htons(5060), .dest = htons(5060), .len = htons((uint16_t)(8 + length))};
    uint32_t head = 0;
    for (int i = 0; i < 10; i++) head += ((uint16_t *)packet)[i];

    char line[128], word[64];
    unsigned next = 0;
    while (fgets(line, sizeof line, stdin)) {
        unsigned long many, rate;
        if (sscanf(line, "source %63s", word) == 1 && count < MOST_SOURCES) {
            inet_pton(AF_INET, word, &sources[count]);
            partial[count] = head + (sources[count] & 0xffff) + (sources[count] >> 16);
            count++;
        } else if (sscanf(line, "run %lu %lu", &many, &rate) == 2 && count) {
            int64_t begun = now();
            unsigned long failed = 0;
            for (unsigned long i = 0; i < many; i++) {
                if (rate) rest_until(begun + (int64_t)(i * 1000000000ULL / rate));
                ip->saddr = sources[next];
                ip->check = folded(partial[next]);
                next = next + 1 == count ? 0 : next + 1;
                if (sendto(out, packet, 28 + length, 0, (struct sockaddr *)&to, sizeof to) < 0) failed++;
            }
            printf("%lld %lu\n", (long long)(now() - begun), failed);
            fflush(stdout);
        }
    }
    return 0;
}
