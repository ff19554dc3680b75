/* Sends packets at the microsecond that a schedule says, and notes when the kernel received what comes back.
 *
 * In: "flows N", N lines of "send_fd receive_fd address port", "packets N", N lines of "at_us flow hex" by time.
 * Out: "S flow ns hex" for each packet that was sent and "R flow ns hex" for each that came; ns of CLOCK_REALTIME. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FLOWS 64
#define PACKET 512

struct flow {
    int send, receive;
    struct sockaddr_in to;
};

struct due {
    uint64_t at_us;
    unsigned flow;
    size_t length;
    uint8_t packet[PACKET];
};

static struct flow flows[FLOWS];

static uint64_t nanoseconds(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;
}

static void note(char kind, unsigned flow, uint64_t ns, const uint8_t *packet, size_t length)
{
    printf("%c %u %" PRIu64 " ", kind, flow, ns);
    for (size_t i = 0; i < length; i++)
        printf("%02x", packet[i]);
    putchar('\n');
}

static void receive(unsigned flow)
{
    uint8_t packet[PACKET];
    char control[CMSG_SPACE(sizeof(struct timespec))];
    for (;;) {
        struct iovec part = {packet, sizeof packet};
        struct msghdr message = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        ssize_t length = recvmsg(flows[flow].receive, &message, MSG_DONTWAIT);
        struct cmsghdr *stamp = length < 0 ? NULL : CMSG_FIRSTHDR(&message);
        struct timespec when;
        if (!stamp)
            return;
        memcpy(&when, CMSG_DATA(stamp), sizeof when);
        note('R', flow, nanoseconds(&when), packet, (size_t)length);
    }
}

static unsigned read_flows(void)
{
    unsigned count, port;
    char address[64];
    int on = 1;
    if (scanf("flows %u ", &count) != 1 || count > FLOWS)
        exit(2);
    for (struct flow *flow = flows; flow < flows + count; flow++) {
        if (scanf("%d %d %63s %u ", &flow->send, &flow->receive, address, &port) != 4)
            exit(2);
        flow->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        if (inet_pton(AF_INET, address, &flow->to.sin_addr) != 1 ||
            setsockopt(flow->receive, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on))
            exit(2);
    }
    return count;
}

static struct due *read_packets(size_t *count)
{
    char hex[2 * PACKET + 1];
    if (scanf("packets %zu ", count) != 1)
        exit(2);
    struct due *packets = calloc(*count, sizeof *packets);
    for (struct due *due = packets; due < packets + *count; due++) {
        if (scanf("%" SCNu64 " %u %1024s ", &due->at_us, &due->flow, hex) != 3)
            exit(2);
        due->length = strlen(hex) / 2;
        for (size_t i = 0; i < due->length; i++)
            sscanf(hex + 2 * i, "%2hhx", &due->packet[i]);
    }
    return packets;
}

static void wait_until(const struct timespec *start, uint64_t at_us)
{
    uint64_t at = nanoseconds(start) + at_us * 1000;
    struct timespec when = {.tv_sec = (time_t)(at / 1000000000u), .tv_nsec = (long)(at % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL))
        ;
}

int main(void)
{
    unsigned count = read_flows();
    size_t packets;
    struct due *due = read_packets(&packets);
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (size_t i = 0; i < packets; i++) {
        const struct flow *flow = &flows[due[i].flow];
        wait_until(&start, due[i].at_us);
        clock_gettime(CLOCK_REALTIME, &now);
        if (sendto(flow->send, due[i].packet, due[i].length, 0, (const struct sockaddr *)&flow->to,
                   sizeof flow->to) < 0)
            return 3;
        note('S', due[i].flow, nanoseconds(&now), due[i].packet, due[i].length);
        receive((unsigned)(i % count)); /* each in its turn, so that no queue gets long */
    }
    wait_until(&start, due[packets - 1].at_us + 600000);
    for (unsigned flow = 0; flow < count; flow++)
        receive(flow);
    free(due);
    return 0;
}
