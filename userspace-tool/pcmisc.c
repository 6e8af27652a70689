// SPDX-License-Identifier: GPL-2.0
/*
 * The small change of a PC: keyboard controller, port 0x92, reset port 0xcf9,
 * ACPI power management, panic port.
 *
 * There is no keyboard: the controller is there so that old code finds A20 open,
 * self tests passing and a reset line. ACPI PM is the fixed hardware that the
 * FADT describes. Runs under the device lock; events only set the machine's stop
 * flag.
 */
#include <string.h>

#include "devices.h"

#define KBD_OBF		0x01	/* output buffer full */
#define KBD_SYS		0x04
#define KBD_CMD		0x08
#define KBD_TIMEOUT	0x40

#define PM_PWRBTN	(1u << 8)
#define PM_WAKE		(1u << 15)
#define PM_STATUS_BITS	0x8731
#define PM_ENABLE_BITS	0x0721
#define PM_SCI_EN	(1u << 0)
#define PM_SLP_EN	(1u << 13)
#define PM_HZ		3579545ull

/**
 * pcmisc_init() - power-on state
 * @p: the devices
 * @sci: ACPI's interrupt
 * @event: told of reset, power-off, panic
 * @now: monotonic clock, ns
 * @ctx: first argument of both
 */
void pcmisc_init(struct pcmisc *p, struct irq_out sci,
		 void (*event)(void *ctx, enum pc_event ev, unsigned int arg),
		 u64 (*now)(void *ctx), void *ctx)
{
	memset(p, 0, sizeof(*p));
	p->kbd_status = KBD_SYS;
	p->kbd_ctr = 0x30;
	p->outport = 0x03;
	p->port92 = 0x02;
	p->pm_control = PM_SCI_EN;
	p->sci = sci;
	p->event = event;
	p->now = now;
	p->ctx = ctx;
}

static void kbd_answer(struct pcmisc *p, u8 byte)
{
	p->kbd_out = byte;
	p->kbd_status |= KBD_OBF;
}

static void kbd_command(struct pcmisc *p, u8 cmd)
{
	p->kbd_cmd = 0;
	p->kbd_status |= KBD_CMD;
	p->kbd_status &= ~KBD_TIMEOUT;
	switch (cmd) {
	case 0x20:
		kbd_answer(p, p->kbd_ctr);
		break;
	case 0xa9:		/* test the mouse port: there is none */
		kbd_answer(p, 0x02);
		break;
	case 0xaa:
		kbd_answer(p, 0x55);
		break;
	case 0xab:
		kbd_answer(p, 0x00);
		break;
	case 0xd0:
		kbd_answer(p, p->outport);
		break;
	case 0x60:
	case 0xd1:
	case 0xd2:
	case 0xd3:
	case 0xd4:
		p->kbd_cmd = cmd;
		break;
	default:
		/* 0xf0-0xff pulse lines of the output port; bit 0 is the CPU's reset. */
		if (cmd >= 0xf0 && !(cmd & 1))
			p->event(p->ctx, PC_RESET, 0x64);
	}
}

static void kbd_data(struct pcmisc *p, u8 byte)
{
	u8 cmd = p->kbd_cmd;

	p->kbd_cmd = 0;
	p->kbd_status &= ~(KBD_CMD | KBD_TIMEOUT);
	switch (cmd) {
	case 0x60:
		p->kbd_ctr = byte;
		break;
	case 0xd1:
		p->outport = byte;
		if (!(byte & 1))
			p->event(p->ctx, PC_RESET, 0x64);
		break;
	case 0xd2:
	case 0xd3:
		kbd_answer(p, byte);
		break;
	default:		/* for a keyboard or mouse that does not answer */
		p->kbd_status |= KBD_TIMEOUT;
		kbd_answer(p, 0xfe);
	}
}

/**
 * i8042_read() - port 0x60, data
 * @dev: the devices
 * @off: 0
 * @size: 1
 *
 * Return: the byte.
 */
u64 i8042_read(void *dev, u64 off, unsigned int size)
{
	struct pcmisc *p = dev;

	(void)off;
	(void)size;
	p->kbd_status &= ~(KBD_OBF | KBD_TIMEOUT);
	return p->kbd_out;
}

/**
 * i8042_write() - port 0x60, data
 * @dev: the devices
 * @off: 0
 * @size: 1
 * @val: the byte
 */
void i8042_write(void *dev, u64 off, unsigned int size, u64 val)
{
	(void)off;
	(void)size;
	kbd_data(dev, (u8)val);
}

/**
 * kbd_status_read() - port 0x64, status
 * @dev: the devices
 * @off: 0
 * @size: 1
 *
 * Return: the status.
 */
u64 kbd_status_read(void *dev, u64 off, unsigned int size)
{
	struct pcmisc *p = dev;

	(void)off;
	(void)size;
	return p->kbd_status;
}

/**
 * kbd_command_write() - port 0x64, command
 * @dev: the devices
 * @off: 0
 * @size: 1
 * @val: the command
 */
void kbd_command_write(void *dev, u64 off, unsigned int size, u64 val)
{
	(void)off;
	(void)size;
	kbd_command(dev, (u8)val);
}

/**
 * port92_read() - system control port A
 * @dev: the devices
 * @off: 0
 * @size: 1
 *
 * Return: bit 1 is A20, which never closes here.
 */
u64 port92_read(void *dev, u64 off, unsigned int size)
{
	struct pcmisc *p = dev;

	(void)off;
	(void)size;
	return p->port92;
}

/**
 * port92_write() - system control port A
 * @dev: the devices
 * @off: 0
 * @size: 1
 * @val: bit 0 resets
 */
void port92_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct pcmisc *p = dev;

	(void)off;
	(void)size;
	p->port92 = val & ~1ull;
	if (val & 1)
		p->event(p->ctx, PC_RESET, 0x92);
}

/**
 * cf9_read() - the reset control register
 * @dev: the devices
 * @off: 0
 * @size: 1
 *
 * Return: what was written.
 */
u64 cf9_read(void *dev, u64 off, unsigned int size)
{
	struct pcmisc *p = dev;

	(void)off;
	(void)size;
	return p->cf9;
}

/**
 * cf9_write() - the reset control register
 * @dev: the devices
 * @off: 0
 * @size: 1
 * @val: bit 2 set resets
 */
void cf9_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct pcmisc *p = dev;

	(void)off;
	(void)size;
	p->cf9 = val & 0x0a;
	if (val & 4)
		p->event(p->ctx, PC_RESET, 0xcf9);
}

static void pm_update(struct pcmisc *p)
{
	irq_set(&p->sci, p->pm_status & p->pm_enable & PM_ENABLE_BITS);
}

/**
 * pm_power_button() - press the power button
 * @p: the devices
 *
 * Return: true if the guest listens to it.
 */
bool pm_power_button(struct pcmisc *p)
{
	p->pm_status |= PM_PWRBTN;
	pm_update(p);
	return p->pm_enable & PM_PWRBTN;
}

/**
 * pm_wake() - leave a sleep state, if something asks for it
 * @p: the devices
 * @alarm: the clock's alarm rings
 *
 * Return: true if the guest is to wake up.
 */
bool pm_wake(struct pcmisc *p, bool alarm)
{
	if (!alarm && !(p->pm_status & PM_PWRBTN))
		return false;
	p->pm_status |= PM_WAKE;
	return true;
}

static u32 pm_timer(const struct pcmisc *p)
{
	u64 ns = p->now(p->ctx);

	/* In two parts, so that a long uptime does not overflow. */
	return (u32)(ns / NS_PER_SEC * PM_HZ + ns % NS_PER_SEC * PM_HZ / NS_PER_SEC);
}

/**
 * pm_read() - ACPI fixed hardware
 * @dev: the devices
 * @off: port minus PM_BASE
 * @size: 1, 2 or 4
 *
 * Return: the value.
 */
u64 pm_read(void *dev, u64 off, unsigned int size)
{
	struct pcmisc *p = dev;
	u64 lo = p->pm_status | (u32)p->pm_enable << 16 | (u64)p->pm_control << 32;
	u64 hi = off >= 8 ? pm_timer(p) : 0;

	(void)size;
	return off >= 8 ? (off < 12 ? hi >> 8 * (off - 8) : 0) : lo >> 8 * off;
}

static void pm_write_byte(struct pcmisc *p, u64 off, u8 val)
{
	unsigned int shift = 8 * (off & 1);
	u16 mask = (u16)(0xff << shift), bits = (u16)(val << shift);

	switch (off & ~1ull) {
	case 0:
		p->pm_status &= ~(bits & PM_STATUS_BITS);
		break;
	case 2:
		p->pm_enable = (p->pm_enable & ~mask) | (bits & PM_ENABLE_BITS);
		break;
	case 4:
		p->pm_control = (p->pm_control & ~mask) | (bits & ~PM_SLP_EN) | PM_SCI_EN;
		break;
	}
}

/**
 * pm_write() - ACPI fixed hardware
 * @dev: the devices
 * @off: port minus PM_BASE
 * @size: 1, 2 or 4
 * @val: the value
 */
void pm_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct pcmisc *p = dev;
	bool sleep = false;
	unsigned int i, type;

	for (i = 0; i < size; i++) {
		u8 byte = (u8)(val >> 8 * i);

		pm_write_byte(p, off + i, byte);
		if (off + i == 5 && byte & PM_SLP_EN >> 8)
			sleep = true;
	}
	pm_update(p);
	if (!sleep)
		return;
	type = p->pm_control >> 10 & 7;
	p->event(p->ctx, type == S5_SLP_TYP ? PC_POWEROFF : PC_SLEEP, type);
}

/**
 * pvpanic_read() - the panic port
 * @dev: the devices
 * @off: 0
 * @size: 1
 *
 * Return: the events that are understood: a panic.
 */
u64 pvpanic_read(void *dev, u64 off, unsigned int size)
{
	(void)dev;
	(void)off;
	(void)size;
	return 1;
}

/**
 * pvpanic_write() - the panic port
 * @dev: the devices
 * @off: 0
 * @size: 1
 * @val: bit 0: the guest panicked
 */
void pvpanic_write(void *dev, u64 off, unsigned int size, u64 val)
{
	struct pcmisc *p = dev;

	(void)off;
	(void)size;
	if (val & 1)
		p->event(p->ctx, PC_PANIC, 0);
}
