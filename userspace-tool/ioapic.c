// SPDX-License-Identifier: GPL-2.0
/*
 * An I/O APIC (82093AA) of version 0x20, that is with the EOI register.
 *
 * A pin's redirection entry becomes a message for HALO_VM_MSI; the module only
 * knows messages. A level-triggered entry holds its remote IRR until the vCPU's
 * EOI comes back (HALO_EXIT_EOI, or a write to the EOI register), and fires again
 * if the pin is still high. An edge on a masked pin is lost, as on the chip. Runs
 * under the device lock.
 */
#include <string.h>

#include "devices.h"

#define REG_ID		0x00
#define REG_VERSION	0x01
#define REG_ARB		0x02
#define REG_REDIR	0x10

#define RE_DESTMODE	(1ull << 11)
#define RE_STATUS	(1ull << 12)
#define RE_POLARITY	(1ull << 13)
#define RE_REMOTE_IRR	(1ull << 14)
#define RE_LEVEL	(1ull << 15)
#define RE_MASKED	(1ull << 16)
#define RE_WRITABLE	(0xff0000000001afffull | RE_POLARITY)

#define MODE_EXTINT	7

static void deliver(struct ioapic *io, unsigned int pin)
{
	u64 e = io->redir[pin];
	u32 mode = e >> 8 & 7;
	u64 addr;
	u32 data;

	/* The 8259s reach the vCPU through LINT0, not through this pin. */
	if (e & RE_MASKED || e & RE_REMOTE_IRR || mode == MODE_EXTINT)
		return;
	addr = 0xfee00000ull | (e >> 56) << 12 | (e & RE_DESTMODE ? 1 << 2 : 0);
	data = (u32)(e & 0xff) | mode << 8 | 1 << 14 | (e & RE_LEVEL ? 1 << 15 : 0);
	if (io->msi(io->ctx, addr, data) > 0 && e & RE_LEVEL)
		io->redir[pin] |= RE_REMOTE_IRR;
}

/**
 * ioapic_init() - power-on state
 * @io: the I/O APIC
 * @msi: sends a message
 * @ctx: its first argument
 */
void ioapic_init(struct ioapic *io, int (*msi)(void *ctx, u64 addr, u32 data), void *ctx)
{
	unsigned int i;

	memset(io, 0, sizeof(*io));
	for (i = 0; i < IOAPIC_PINS; i++)
		io->redir[i] = RE_MASKED;
	io->msi = msi;
	io->ctx = ctx;
}

/**
 * ioapic_set() - set the level of a pin
 * @io: the I/O APIC
 * @pin: 0 to 23
 * @level: its level
 */
void ioapic_set(struct ioapic *io, unsigned int pin, bool level)
{
	bool was;

	if (pin >= IOAPIC_PINS)
		return;
	was = io->level >> pin & 1;
	if (level)
		io->level |= 1u << pin;
	else
		io->level &= ~(1u << pin);
	if (level && (!was || io->redir[pin] & RE_LEVEL))
		deliver(io, pin);
}

static void end_pin(struct ioapic *io, unsigned int pin)
{
	io->redir[pin] &= ~RE_REMOTE_IRR;
	if (io->level >> pin & 1)
		deliver(io, pin);
}

/**
 * ioapic_eoi() - a vCPU ended a level-triggered vector
 * @io: the I/O APIC
 * @vector: which
 */
void ioapic_eoi(struct ioapic *io, u8 vector)
{
	unsigned int i;

	for (i = 0; i < IOAPIC_PINS; i++) {
		u64 e = io->redir[i];

		if ((e & 0xff) == vector && e & RE_LEVEL && e & RE_REMOTE_IRR)
			end_pin(io, i);
	}
}

static void write_redir(struct ioapic *io, unsigned int reg, u32 val)
{
	unsigned int pin = (reg - REG_REDIR) / 2;
	u64 e = io->redir[pin], was = e;

	if (reg & 1)
		e = (e & 0xffffffff) | (u64)val << 32;
	else
		e = (e & ~0xffffffffull) | val;
	e = (e & RE_WRITABLE) | (was & (RE_STATUS | RE_REMOTE_IRR));
	/* Linux ends a stuck pin by making it an edge for a moment. */
	if (!(e & RE_LEVEL))
		e &= ~RE_REMOTE_IRR;
	io->redir[pin] = e;
	if (e & RE_LEVEL && io->level >> pin & 1)
		deliver(io, pin);
}

static u32 read_reg(const struct ioapic *io)
{
	u32 reg = io->select;

	if (reg == REG_ID || reg == REG_ARB)
		return io->id;
	if (reg == REG_VERSION)
		return (IOAPIC_PINS - 1) << 16 | 0x20;
	if (reg >= REG_REDIR && reg < REG_REDIR + 2 * IOAPIC_PINS)
		return (u32)(io->redir[(reg - REG_REDIR) / 2] >> (reg & 1 ? 32 : 0));
	return 0;
}

/**
 * ioapic_read() - the I/O APIC's page
 * @dev: the I/O APIC
 * @off: offset in it
 * @size: bytes
 *
 * Return: the value.
 */
u64 ioapic_read(void *dev, u64 off, unsigned int size)
{
	struct ioapic *io = dev;
	u32 val = 0;

	(void)size;
	if ((off & ~3ull) == 0x00)
		val = io->select;
	else if ((off & ~3ull) == 0x10)
		val = read_reg(io);
	return val >> 8 * (off & 3);
}

/**
 * ioapic_write() - the I/O APIC's page
 * @dev: the I/O APIC
 * @off: offset in it
 * @size: bytes
 * @val: the value
 */
void ioapic_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct ioapic *io = dev;

	if (off == 0x00) {
		io->select = val & 0xff;
	} else if (off == 0x10 && size >= 4) {
		if (io->select == REG_ID)
			io->id = val & 0x0f000000;
		else if (io->select >= REG_REDIR && io->select < REG_REDIR + 2 * IOAPIC_PINS)
			write_redir(io, io->select, (u32)val);
	} else if (off == 0x40) {
		ioapic_eoi(io, (u8)val);
	}
}
