/* By which device a packet leaves, asked of the kernel as a socket would ask it; and whether that may have changed. */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kernel.h"

#define MTU_MIN 1500 /* a packet of VOS_FLOW_LONGEST fits with every header */
#define GROUPS \
    (RTMGRP_LINK | RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_RULE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV6_IFADDR)

struct question {
    struct nlmsghdr header;
    struct rtmsg route;
    uint8_t attributes[2 * RTA_SPACE(16)];
};

static void add(struct question *question, uint16_t type, const uint8_t *ip, uint16_t length)
{
    struct rtattr *attribute = (struct rtattr *)((uint8_t *)question + NLMSG_ALIGN(question->header.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = (uint16_t)RTA_LENGTH(length);
    memcpy(RTA_DATA(attribute), ip, length);
    question->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(question->header.nlmsg_len) + RTA_SPACE(length));
}

static uint32_t device_of(uint8_t *reply, size_t length)
{
    struct nlmsghdr *header = (struct nlmsghdr *)reply;
    if (!NLMSG_OK(header, length) || header->nlmsg_type != RTM_NEWROUTE)
        return 0;
    struct rtmsg *route = NLMSG_DATA(header);
    int left = (int)RTM_PAYLOAD(header);
    if (route->rtm_type != RTN_UNICAST && route->rtm_type != RTN_LOCAL)
        return 0;
    for (struct rtattr *at = RTM_RTA(route); RTA_OK(at, left); at = RTA_NEXT(at, left))
        if (at->rta_type == RTA_OIF)
            return *(uint32_t *)RTA_DATA(at);
    return 0;
}

/* A device with Ethernet headers, or none that matter, and room for the longest packet. */
bool vos_route_suits(uint32_t device)
{
    struct ifreq request = {.ifr_name = ""};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && if_indextoname(device, request.ifr_name) && ioctl(fd, SIOCGIFHWADDR, &request) == 0 &&
                (request.ifr_hwaddr.sa_family == ARPHRD_ETHER || request.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK) &&
                ioctl(fd, SIOCGIFMTU, &request) == 0 && request.ifr_mtu >= MTU_MIN;
    if (fd >= 0)
        close(fd);
    return good;
}

/* The device's number, 0 where there is no route, or none that the kernel's path can take. */
uint32_t vos_route_device(const struct vos_addr *from, const struct vos_addr *to, uint8_t tos)
{
    uint16_t length = to->family == 6 ? 16 : 4;
    struct question question = {
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)), .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST},
        .route = {.rtm_family = to->family == 6 ? AF_INET6 : AF_INET, .rtm_tos = to->family == 6 ? 0 : tos & 0x1c},
    };
    question.route.rtm_dst_len = question.route.rtm_src_len = (uint8_t)(length * 8);
    add(&question, RTA_DST, to->ip, length);
    add(&question, RTA_SRC, from->ip, length);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return 0;
    uint8_t reply[4096] __attribute__((aligned(8)));
    ssize_t got = send(fd, &question, question.header.nlmsg_len, 0);
    if (got > 0)
        got = recv(fd, reply, sizeof reply, 0);
    close(fd);
    uint32_t device = got > 0 ? device_of(reply, (size_t)got) : 0;
    return device && vos_route_suits(device) ? device : 0;
}

/* A descriptor that tells of routes, addresses and devices as they change, or a negative errno. */
int vos_route_watch(void)
{
    struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_groups = GROUPS};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof name) == 0)
        return fd;
    int error = -errno;
    if (fd >= 0)
        close(fd);
    return error;
}

/* Whether anything has since the last look; a full queue says so too. */
bool vos_route_changed(int watch)
{
    uint8_t told[8192];
    bool changed = false;
    ssize_t got;
    while ((got = recv(watch, told, sizeof told, MSG_DONTWAIT)) > 0 || (got < 0 && errno == ENOBUFS))
        changed = true;
    return changed;
}
