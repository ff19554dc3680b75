/* Opening the kernel's path, on or off, and the places in its maps: shared by all workers, touched only when a
 * direction enters or leaves. */
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel.h"

static struct {
    struct vos_flow *flow;
    uint32_t *free, frees;
    pthread_mutex_t lock; /* of `free` */
    int watch;
    atomic_uint on, routes, inside;
} path = {.lock = PTHREAD_MUTEX_INITIALIZER, .watch = -1};

static uint32_t device_of(const struct ifaddrs *all, const struct vos_addr *address)
{
    if (address->family == 4 && address->ip[0] == IN_LOOPBACKNET) /* all of 127/8, whatever stands there */
        return if_nametoindex("lo");
    for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
        struct sockaddr_storage name;
        struct vos_addr found;
        memset(&name, 0, sizeof name);
        if (!one->ifa_addr || (one->ifa_addr->sa_family != AF_INET && one->ifa_addr->sa_family != AF_INET6))
            continue;
        memcpy(&name, one->ifa_addr,
               one->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        vos_addr_from_sock(&name, &found);
        if (vos_addr_same_host(&found, address))
            return if_nametoindex(one->ifa_name);
    }
    return 0;
}

/* To each device that holds one of the addresses, once. -ENODEV where none of them is on a device that suits. */
static int attach(const struct vos_addr *addresses, uint32_t count)
{
    struct ifaddrs *all;
    uint32_t done[VOS_KERNEL_DEVICES], devices = 0;
    int error = getifaddrs(&all) ? -errno : 0;
    if (error)
        return error;
    for (uint32_t i = 0; i < count && !error && devices < VOS_KERNEL_DEVICES; i++) {
        uint32_t device = device_of(all, addresses + i), known = 0;
        while (known < devices && done[known] != device)
            known++;
        if (!device || known < devices || !vos_route_suits(device))
            continue;
        error = vos_kernel_attach(device);
        done[devices++] = device;
    }
    freeifaddrs(all);
    return error ? error : devices ? (int)devices : -ENODEV;
}

static int open_path(const struct vos_addr *addresses, uint32_t count, uint32_t places, const char **step)
{
    *step = "memory";
    path.free = calloc(places, sizeof *path.free);
    if (!path.free)
        return -ENOMEM;
    int error = vos_kernel_load(places, &path.flow, step);
    if (error)
        return error;
    *step = "listening for changes of routes";
    path.watch = vos_route_watch();
    if (path.watch < 0)
        return path.watch;
    *step = "attaching to the devices of the relay's addresses";
    return attach(addresses, count);
}

/* How many devices it is attached to. `step` says what was refused. */
int vos_kernel_open(const struct vos_addr *addresses, uint32_t count, uint32_t places, const char **step)
{
    if (path.flow || !places)
        return -EINVAL;
    int devices = open_path(addresses, count, places, step);
    if (devices < 0) {
        vos_kernel_close();
        return devices;
    }
    while (path.frees < places) {
        path.free[path.frees] = places - 1 - path.frees;
        path.frees++;
    }
    return devices;
}

/* After the workers have ended, or before they start. */
void vos_kernel_close(void)
{
    atomic_store(&path.on, 0);
    vos_kernel_unload();
    if (path.watch >= 0)
        close(path.watch);
    free(path.free);
    path.free = NULL;
    path.flow = NULL;
    path.frees = 0;
    path.watch = -1;
}

int vos_kernel_use(uint32_t on)
{
    if (on && !path.flow)
        return -ENOENT;
    atomic_store(&path.on, on);
    return 0;
}

bool vos_kernel_used(void)
{
    return atomic_load_explicit(&path.on, memory_order_relaxed);
}

uint32_t vos_kernel_inside(void)
{
    return atomic_load(&path.inside);
}

void vos_kernel_count(bool in)
{
    if (in)
        atomic_fetch_add(&path.inside, 1);
    else
        atomic_fetch_sub(&path.inside, 1);
}

struct vos_flow *vos_kernel_place(uint32_t *index)
{
    pthread_mutex_lock(&path.lock);
    bool found = path.frees > 0;
    if (found)
        *index = path.free[--path.frees];
    pthread_mutex_unlock(&path.lock);
    return found ? path.flow + *index : NULL;
}

void vos_kernel_give(uint32_t index)
{
    pthread_mutex_lock(&path.lock);
    path.free[path.frees++] = index;
    pthread_mutex_unlock(&path.lock);
}

/* A number that differs when routes, addresses or devices have changed; one worker looks, all compare. */
uint32_t vos_kernel_routes(bool look)
{
    if (look && path.watch >= 0 && vos_route_changed(path.watch))
        atomic_fetch_add(&path.routes, 1);
    return atomic_load(&path.routes);
}
