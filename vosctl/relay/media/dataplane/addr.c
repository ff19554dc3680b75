/* Addresses, and the clock. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "internal.h"

bool vos_addr_same_host(const struct vos_addr *a, const struct vos_addr *b)
{
    return a->family != 0 && a->family == b->family && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool vos_addr_same(const struct vos_addr *a, const struct vos_addr *b)
{
    return a->port == b->port && vos_addr_same_host(a, b);
}

socklen_t vos_addr_to_sock(const struct vos_addr *addr, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (addr->family == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(addr->port);
        memcpy(&v4->sin_addr, addr->ip, 4);
        return sizeof *v4;
    }
    if (addr->family == 6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(addr->port);
        v6->sin6_scope_id = addr->scope;
        memcpy(&v6->sin6_addr, addr->ip, 16);
        return sizeof *v6;
    }
    return 0;
}

void vos_addr_from_sock(const struct sockaddr_storage *sock, struct vos_addr *out)
{
    memset(out, 0, sizeof *out);
    if (sock->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)sock;
        out->family = 4;
        out->port = ntohs(v4->sin_port);
        memcpy(out->ip, &v4->sin_addr, 4);
    } else if (sock->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sock;
        out->family = 6;
        out->port = ntohs(v6->sin6_port);
        out->scope = v6->sin6_scope_id;
        memcpy(out->ip, &v6->sin6_addr, 16);
    }
}

uint64_t vos_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}
