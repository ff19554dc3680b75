/* The sockets of a leg: bound pairs, DSCP, and the lock to one far end.
 *
 * A locked leg's RTP socket is connected: the kernel then looks the route up once instead of for each packet,
 * which is an eighth of what a packet costs. So that strangers are still counted, and get no answer, a second
 * socket is bound to the same port; a filter drops all that reaches it, and the kernel counts. It is never
 * read, and it keeps a flood out of the genuine stream's queue. (A stranger's packet in the few microseconds
 * between connecting and binding is refused without being counted.) Where descriptors are short, the leg does
 * without: sources are compared for each packet in any case. */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#define MEMINFO_WORDS 9
#define MEMINFO_DROPS 8

static uint32_t receive_buffer = 131072;
static uint32_t file_limit = 1024;
static atomic_uint open_files;

void vos_socket_limits(uint32_t buffer, uint32_t files)
{
    receive_buffer = buffer;
    file_limit = files;
}

int vos_socket_mark(int fd, uint16_t family, uint32_t dscp)
{
    int value = (int)(dscp << 2); /* the two bits below are ECN's (RFC 3168) */
    if (family == 6)
        return setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof value) ? -errno : 0;
    return setsockopt(fd, IPPROTO_IP, IP_TOS, &value, sizeof value) ? -errno : 0;
}

static int make(uint16_t family)
{
    int on = 1;
    int fd = socket(family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (family == 6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    atomic_fetch_add(&open_files, 1);
    return fd;
}

void vos_socket_close(int fd)
{
    if (fd < 0)
        return;
    close(fd);
    atomic_fetch_sub(&open_files, 1);
}

static int bind_to(int fd, const struct vos_addr *local)
{
    struct sockaddr_storage name;
    socklen_t length = vos_addr_to_sock(local, &name);
    return bind(fd, (struct sockaddr *)&name, length) ? -errno : 0;
}

int vos_open(const struct vos_addr *local, int32_t fds[2])
{
    int size = (int)receive_buffer;
    fds[0] = fds[1] = -1;
    for (int i = 0; i < 2; i++) {
        struct vos_addr at = *local;
        at.port = (uint16_t)(local->port + i);
        int error = 0;
        fds[i] = make(local->family);
        if (fds[i] < 0)
            error = fds[i];
        else
            error = bind_to(fds[i], &at);
        if (error) {
            vos_socket_close(fds[0]);
            vos_socket_close(fds[1]);
            return error;
        }
    }
    /* Media alone: reports are few, and the guard holds nothing. */
    setsockopt(fds[0], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    return 0;
}

void vos_close(const int32_t fds[2])
{
    vos_socket_close(fds[0]);
    vos_socket_close(fds[1]);
}

void vos_socket_aim(struct vos_socket *sock, const struct vos_addr *to)
{
    sock->to = *to;
    sock->to_len = vos_addr_to_sock(to, &sock->to_sock);
}

static void reuse(int fd, int on)
{
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

/* The port may be shared only while the guard binds: the leg's own socket keeps everybody else off it later. */
static int bind_guard(const struct vos_leg *leg)
{
    static struct sock_filter none[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = none};
    int guard = make(leg->entry.match.local.family);
    if (guard < 0)
        return guard;
    int error = setsockopt(guard, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) ? -errno : 0;
    if (!error) {
        reuse(guard, 1);
        reuse(leg->rtp.fd, 1);
        error = bind_to(guard, &leg->entry.match.local);
        reuse(leg->rtp.fd, 0);
    }
    if (error) {
        vos_socket_close(guard);
        return error;
    }
    return guard;
}

static bool connect_to(int fd, const struct vos_addr *remote)
{
    struct sockaddr_storage name;
    socklen_t length = vos_addr_to_sock(remote, &name);
    if (length == 0) {
        name.ss_family = AF_UNSPEC;
        length = sizeof(sa_family_t);
    }
    return connect(fd, (struct sockaddr *)&name, length) == 0;
}

void vos_socket_unlock(struct vos_leg *leg)
{
    static const struct vos_addr nobody;
    if (leg->guard >= 0)
        leg->entry.counters.dropped += vos_socket_drops(leg->guard) - leg->guard_drops;
    vos_socket_close(leg->guard);
    leg->guard = -1;
    leg->guard_drops = 0;
    if (leg->rtp.connected)
        connect_to(leg->rtp.fd, &nobody);
    leg->rtp.connected = false;
}

void vos_socket_lock(struct vos_leg *leg)
{
    const struct vos_addr *remote = &leg->entry.match.remote;
    if (!remote->family || atomic_load(&open_files) > file_limit / 4 * 3)
        return;
    leg->rtp.connected = connect_to(leg->rtp.fd, remote);
    if (!leg->rtp.connected)
        return;
    leg->guard = bind_guard(leg);
    if (leg->guard < 0)
        vos_socket_unlock(leg);
}

/* What the kernel dropped at this socket, modulo 2^32: a full queue, a bad checksum, or the guard's filter. */
uint32_t vos_socket_drops(int fd)
{
    uint32_t memory[MEMINFO_WORDS] = {0};
    socklen_t length = sizeof memory;
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length) || length < sizeof memory)
        return 0;
    return memory[MEMINFO_DROPS];
}
