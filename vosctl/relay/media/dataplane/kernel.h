/* The kernel's path: settled directions that the kernel forwards by itself, see flow.h and kernel/settled.bpf.c. */
#ifndef VOS_KERNEL_H
#define VOS_KERNEL_H

#include "flow.h"
#include "internal.h"

#define VOS_KERNEL_DEVICES 64

/* kernel.c: what all workers share. */
bool vos_kernel_used(void);
void vos_kernel_count(bool in);
struct vos_flow *vos_kernel_place(uint32_t *index);
void vos_kernel_give(uint32_t index);
uint32_t vos_kernel_routes(bool look);

/* kernel_load.c: the maps and the program; both fail where the process has no right to them. */
int vos_kernel_load(uint32_t flows, struct vos_flow **shared, const char **step);
int vos_kernel_attach(uint32_t device);
int vos_kernel_put(const struct vos_flow_key *key, const struct vos_flow_place *place);
int vos_kernel_take(const struct vos_flow_key *key);
void vos_kernel_unload(void);

/* kernel_route.c */
uint32_t vos_route_device(const struct vos_addr *from, const struct vos_addr *to, uint8_t tos);
bool vos_route_suits(uint32_t device);
int vos_route_watch(void);
bool vos_route_changed(int watch);

#endif
