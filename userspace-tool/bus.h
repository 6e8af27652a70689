/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_BUS_H
#define HALO_TOOL_BUS_H

#include "types.h"

#define BUS_RANGES	32

/**
 * struct bus_range - who answers a range of addresses
 * @base: first address
 * @len: how many
 * @max: widest access that the device takes; a wider one is split into bytes
 * @name: for messages
 * @read: gives the value, @off from @base
 * @write: takes the value
 * @dev: the device
 * @hits: accesses so far
 */
struct bus_range {
	u64 base;
	u64 len;
	unsigned int max;
	const char *name;
	u64 (*read)(void *dev, u64 off, unsigned int size);
	void (*write)(void *dev, u64 off, unsigned int size, u64 val);
	void *dev;
	u64 hits;
};

struct bus {
	struct bus_range r[BUS_RANGES];
	unsigned int n;
	/* Told of every access that nobody answers. */
	void (*unknown)(void *ctx, u64 addr, unsigned int size, bool write, u64 val);
	void *ctx;
};

int bus_add(struct bus *b, const struct bus_range *r);
struct bus_range *bus_find(struct bus *b, u64 addr);
u64 bus_read(struct bus *b, u64 addr, unsigned int size);
void bus_write(struct bus *b, u64 addr, unsigned int size, u64 val);

#endif /* HALO_TOOL_BUS_H */
