// SPDX-License-Identifier: GPL-2.0
/*
 * A bus: sorted ranges, found by binary search.
 *
 * The ranges are added before the guest runs and never change; dispatch happens
 * under the machine's one device lock. What nobody answers reads as all ones and
 * a write to it is dropped, as on a PC's bus.
 */
#include <errno.h>
#include <string.h>

#include "bus.h"

/**
 * bus_add() - put a device on the bus
 * @b: the bus
 * @r: its range, copied
 *
 * Return: 0, -EEXIST if the range overlaps another, -ENOSPC.
 */
int bus_add(struct bus *b, const struct bus_range *r)
{
	unsigned int i = 0;

	while (i < b->n && b->r[i].base < r->base)
		i++;
	if ((i && b->r[i - 1].base + b->r[i - 1].len > r->base) ||
	    (i < b->n && r->base + r->len > b->r[i].base))
		return -EEXIST;
	if (b->n == BUS_RANGES)
		return -ENOSPC;
	memmove(&b->r[i + 1], &b->r[i], (b->n - i) * sizeof(b->r[0]));
	b->r[i] = *r;
	b->n++;
	return 0;
}

/**
 * bus_find() - who answers an address
 * @b: the bus
 * @addr: the address
 *
 * Return: the range, or NULL.
 */
struct bus_range *bus_find(struct bus *b, u64 addr)
{
	unsigned int lo = 0, hi = b->n;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (addr < b->r[mid].base)
			hi = mid;
		else if (addr - b->r[mid].base >= b->r[mid].len)
			lo = mid + 1;
		else
			return &b->r[mid];
	}
	return NULL;
}

static bool fits(const struct bus_range *r, u64 addr, unsigned int size)
{
	return size <= r->max && size <= r->len - (addr - r->base);
}

static u64 all_ones(unsigned int size)
{
	return size >= 8 ? ~0ull : (1ull << 8 * size) - 1;
}

/**
 * bus_read() - read from the bus
 * @b: the bus
 * @addr: address
 * @size: bytes, 1 to 8
 *
 * Return: the value.
 */
u64 bus_read(struct bus *b, u64 addr, unsigned int size)
{
	struct bus_range *r = bus_find(b, addr);
	u64 val = 0;
	unsigned int i;

	if (r && fits(r, addr, size)) {
		r->hits++;
		return r->read(r->dev, addr - r->base, size) & all_ones(size);
	}
	if (size == 1 || (!r && !bus_find(b, addr + size - 1))) {
		if (b->unknown)
			b->unknown(b->ctx, addr, size, false, 0);
		return all_ones(size);
	}
	for (i = 0; i < size; i++)
		val |= bus_read(b, addr + i, 1) << 8 * i;
	return val;
}

/**
 * bus_write() - write to the bus
 * @b: the bus
 * @addr: address
 * @size: bytes, 1 to 8
 * @val: the value
 */
void bus_write(struct bus *b, u64 addr, unsigned int size, u64 val)
{
	struct bus_range *r = bus_find(b, addr);
	unsigned int i;

	val &= all_ones(size);
	if (r && fits(r, addr, size)) {
		r->hits++;
		r->write(r->dev, addr - r->base, size, val);
		return;
	}
	if (size == 1 || (!r && !bus_find(b, addr + size - 1))) {
		if (b->unknown)
			b->unknown(b->ctx, addr, size, true, val);
		return;
	}
	for (i = 0; i < size; i++)
		bus_write(b, addr + i, 1, val >> 8 * i & 0xff);
}
