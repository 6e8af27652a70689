// SPDX-License-Identifier: GPL-2.0
/*
 * The devices that test kernels in the style of kvm-unit-tests count on
 * (--device testdev): exit port, scratch ports, interrupt lines, a way to drop a
 * page's second-stage mapping, memory that is reached by exits only, and the few
 * fw_cfg items that tell the machine's size. Runs under the device lock.
 */
#include <string.h>

#include "devices.h"

#define FW_RAM_BYTES	0x03
#define FW_CPUS		0x05
#define FW_MAX_CPUS	0x0f

/**
 * testdev_exit_write() - the exit port
 * @dev: the device
 * @off: 0
 * @size: any
 * @val: the test's status
 */
void testdev_exit_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct testdev *t = dev;

	(void)off;
	(void)size;
	t->exit(t->ctx, (u32)val);
}

/**
 * testdev_scratch_read() - the scratch register
 * @dev: the device
 * @off: 0 to 3
 * @size: any
 *
 * Return: its value from byte @off.
 */
u64 testdev_scratch_read(void *dev, u64 off, unsigned int size)
{
	struct testdev *t = dev;

	(void)size;
	return t->scratch >> 8 * off;
}

/**
 * testdev_scratch_write() - the scratch register
 * @dev: the device
 * @off: 0 to 3
 * @size: bytes
 * @val: the value
 */
void testdev_scratch_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct testdev *t = dev;
	u32 mask = (size >= 4 ? ~0u : (1u << 8 * size) - 1) << 8 * off;

	t->scratch = (t->scratch & ~mask) | ((u32)val << 8 * off & mask);
}

/**
 * testdev_zap_write() - port 0xe4: drop the mapping of the page at a GPA
 * @dev: the device
 * @off: 0
 * @size: any
 * @val: the GPA
 */
void testdev_zap_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct testdev *t = dev;

	(void)size;
	if (!off)
		t->zap(t->ctx, val);
}

/**
 * testdev_line_write() - ports 0x2000 + n: set interrupt line n
 * @dev: the device
 * @off: n
 * @size: any
 * @val: its level
 */
void testdev_line_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct testdev *t = dev;

	(void)size;
	t->line(t->ctx, (unsigned int)off, val & 1);
}

/**
 * testdev_zero_read() - a port without a value
 * @dev: the device
 * @off: any
 * @size: any
 *
 * Return: 0.
 */
u64 testdev_zero_read(void *dev, u64 off, unsigned int size)
{
	(void)dev;
	(void)off;
	(void)size;
	return 0;
}

/**
 * testdev_mem_read() - memory that is reached by exits only
 * @dev: the device
 * @off: offset
 * @size: bytes
 *
 * Return: the value.
 */
u64 testdev_mem_read(void *dev, u64 off, unsigned int size)
{
	struct testdev *t = dev;
	u64 val = 0;

	memcpy(&val, t->mem + off, size);
	return val;
}

/**
 * testdev_mem_write() - memory that is reached by exits only
 * @dev: the device
 * @off: offset
 * @size: bytes
 * @val: the value
 */
void testdev_mem_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct testdev *t = dev;

	memcpy(t->mem + off, &val, size);
}

/**
 * fwcfg_read() - the data port, byte by byte
 * @dev: the device
 * @off: 1
 * @size: 1
 *
 * Return: the next byte of the selected item, 0 past its end.
 */
u64 fwcfg_read(void *dev, u64 off, unsigned int size)
{
	struct testdev *t = dev;
	u64 item = 0;

	(void)size;
	if (!off)
		return 0;
	if (t->selector == FW_RAM_BYTES)
		item = t->ram_bytes;
	else if (t->selector == FW_CPUS || t->selector == FW_MAX_CPUS)
		item = t->cpus;
	if (t->pos >= 8)
		return 0;
	return item >> 8 * t->pos++ & 0xff;
}

/**
 * fwcfg_write() - the selector port
 * @dev: the device
 * @off: 0
 * @size: 2
 * @val: item number
 */
void fwcfg_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct testdev *t = dev;

	if (off || size != 2)
		return;
	t->selector = (u16)val;
	t->pos = 0;
}
