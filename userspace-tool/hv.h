/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_HV_H
#define HALO_TOOL_HV_H

#include <linux/halo.h>

#include "ring_client.h"
#include "types.h"

#define HV_DEVICE	"/dev/halo"

/**
 * struct hv - the module and a VM
 * @dev: /dev/halo
 * @vm: VM fd, -1 before hv_create_vm()
 */
struct hv {
	int dev;
	int vm;
};

/**
 * struct hv_vcpu - a vCPU and its mapping
 * @fd: vCPU fd
 * @id: its number
 * @state: STATE area
 * @data: DATA area
 * @data_bytes: its length
 * @ring: the rings
 * @map: the four areas, for hv_free_vcpu()
 * @map_bytes: their lengths
 */
struct hv_vcpu {
	int fd;
	unsigned int id;
	struct halo_state *state;
	u8 *data;
	u64 data_bytes;
	struct ring_client ring;
	void *map[4];
	u64 map_bytes[4];
};

int hv_open(struct hv *hv);
int hv_cap(const struct hv *hv, u32 cap, struct halo_cap_query *q);
int hv_create_vm(struct hv *hv, const char *name);
int hv_set_tsc_khz(const struct hv *hv, u32 khz);
int hv_set_memory(const struct hv *hv, u32 slot, u64 gpa, u64 bytes, void *at);
int hv_const_zone(const struct hv *hv, u32 bus, u64 addr, u64 len, u32 access,
		  u64 value);
int hv_create_vcpu(const struct hv *hv, struct hv_vcpu *v, unsigned int id);
void hv_free_vcpu(struct hv_vcpu *v);
void hv_free_vm(struct hv *hv);
int hv_set_cpuid(const struct hv *hv, const struct hv_vcpu *v, unsigned int cpus, bool hints);
int hv_virtual_wire(const struct hv_vcpu *v);
int hv_msi(const struct hv *hv, u64 addr, u32 data);
int hv_line(const struct hv_vcpu *v, u32 pin, bool level);
bool hv_time(const struct hv *hv, u64 *ns);
bool hv_go_on_at(const struct hv *hv, u64 ns);

#endif /* HALO_TOOL_HV_H */
