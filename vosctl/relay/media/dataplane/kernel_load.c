/* The kernel's program and its maps, by bpf(2) itself: nodes have no library for it, and often older headers.
 *
 * Everything hangs on this process' descriptors. When it ends, however it ends, the kernel takes the program off the
 * devices, and packets find the sockets again. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel.h"
#include "kernel_program.h"

/* linux/bpf.h, as of Linux 6.6. */
enum { MAP_CREATE = 0, MAP_UPDATE = 2, MAP_DELETE = 3, PROG_LOAD = 5, LINK_CREATE = 28 };
enum { MAP_HASH = 1, MAP_ARRAY = 2, SCHED_CLS = 3, TCX_INGRESS = 46 };
#define MMAPABLE (1u << 10)
#define LOADS_MAP 0x18u /* the instruction's code; and the source register that says: of a descriptor */
#define BY_DESCRIPTOR (1u << 4)
#define PLACES 1 /* the maps' numbers in kernel_program */
#define INSTRUCTIONS (sizeof kernel_program / sizeof *kernel_program)

union attributes {
    struct {
        uint32_t type, key, value, entries, flags, inner, node;
        char name[16];
    } map;
    struct {
        uint32_t fd;
        uint64_t key, value, flags;
    } item;
    struct {
        uint32_t type, count;
        uint64_t code, license;
        uint32_t log_level, log_size;
        uint64_t log;
        uint32_t version, flags;
        char name[16];
        uint32_t device, attach;
    } program;
    struct {
        uint32_t program, device, attach, flags;
        uint64_t relative, revision;
    } link;
    uint8_t all[128];
};

static struct {
    int places, flows, program, link[VOS_KERNEL_DEVICES];
    uint32_t links;
    struct vos_flow *shared;
    size_t length;
} kernel = {.places = -1, .flows = -1, .program = -1};

static int ask(int command, union attributes *what)
{
    int result = (int)syscall(SYS_bpf, command, what, sizeof *what);
    return result < 0 ? -errno : result;
}

static int map(uint32_t type, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags, const char *name)
{
    union attributes what = {.all = {0}};
    what.map.type = type;
    what.map.key = key;
    what.map.value = value;
    what.map.entries = entries;
    what.map.flags = flags;
    strncpy(what.map.name, name, sizeof what.map.name - 1);
    return ask(MAP_CREATE, &what);
}

static int program(void)
{
    uint64_t code[INSTRUCTIONS];
    union attributes what = {.all = {0}};
    memcpy(code, kernel_program, sizeof code);
    for (size_t i = 0; i < INSTRUCTIONS; i++) {
        uint32_t number = (uint32_t)(code[i] >> 32);
        if ((code[i] & 0xff) == LOADS_MAP && code[i] >> 12 & (BY_DESCRIPTOR >> 4))
            code[i] = (uint32_t)code[i] | (uint64_t)(uint32_t)(number == PLACES ? kernel.places : kernel.flows) << 32;
    }
    what.program.type = SCHED_CLS;
    what.program.count = INSTRUCTIONS;
    what.program.code = (uintptr_t)code;
    what.program.license = (uintptr_t) "Apache-2.0";
    what.program.attach = TCX_INGRESS;
    strncpy(what.program.name, "vos_settled", sizeof what.program.name - 1);
    return ask(PROG_LOAD, &what);
}

static int share(uint32_t flows)
{
    kernel.length = flows * sizeof(struct vos_flow);
    void *at = mmap(NULL, kernel.length, PROT_READ | PROT_WRITE, MAP_SHARED, kernel.flows, 0);
    if (at == MAP_FAILED)
        return -errno;
    kernel.shared = at;
    return 0;
}

/* `step` names what was refused. */
int vos_kernel_load(uint32_t flows, struct vos_flow **shared, const char **step)
{
    *step = "its maps";
    kernel.places = map(MAP_HASH, sizeof(struct vos_flow_key), sizeof(struct vos_flow_place), flows, 0, "vos_places");
    if (kernel.places < 0)
        return kernel.places;
    kernel.flows = map(MAP_ARRAY, sizeof(uint32_t), sizeof(struct vos_flow), flows, MMAPABLE, "vos_flows");
    if (kernel.flows < 0)
        return kernel.flows;
    int error = share(flows);
    if (error)
        return error;
    *step = "its program";
    kernel.program = program();
    *shared = kernel.shared;
    return kernel.program < 0 ? kernel.program : 0;
}

int vos_kernel_attach(uint32_t device)
{
    union attributes what = {.all = {0}};
    if (kernel.links == VOS_KERNEL_DEVICES)
        return -ENOSPC;
    what.link.program = (uint32_t)kernel.program;
    what.link.device = device;
    what.link.attach = TCX_INGRESS;
    int link = ask(LINK_CREATE, &what);
    if (link < 0)
        return link;
    kernel.link[kernel.links++] = link;
    return 0;
}

int vos_kernel_put(const struct vos_flow_key *key, const struct vos_flow_place *place)
{
    union attributes what = {.all = {0}};
    what.item.fd = (uint32_t)kernel.places;
    what.item.key = (uintptr_t)key;
    what.item.value = (uintptr_t)place;
    return ask(MAP_UPDATE, &what);
}

int vos_kernel_take(const struct vos_flow_key *key)
{
    union attributes what = {.all = {0}};
    what.item.fd = (uint32_t)kernel.places;
    what.item.key = (uintptr_t)key;
    return ask(MAP_DELETE, &what);
}

static void shut(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void vos_kernel_unload(void)
{
    while (kernel.links)
        close(kernel.link[--kernel.links]);
    if (kernel.shared)
        munmap(kernel.shared, kernel.length);
    kernel.shared = NULL;
    shut(&kernel.program);
    shut(&kernel.flows);
    shut(&kernel.places);
}
