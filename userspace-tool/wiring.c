// SPDX-License-Identifier: GPL-2.0
/*
 * Which device sits at which address and on which interrupt line.
 *
 * The two tables below are the PC's memory map. Port space that no device claims
 * is handed to the module as constant zones: what a kernel probes in vain costs no
 * exit to userspace. Interrupt lines go to both the 8259s and the I/O APIC, as on
 * a PC: ISA line 0 is pin 2 of the latter. Called before the guest runs; the
 * callbacks run under the device lock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "machine.h"
#include "msg.h"

static u64 clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (u64)ts.tv_sec * NS_PER_SEC + (u64)ts.tv_nsec;
}

static u64 now_mono(void *ctx)
{
	(void)ctx;
	return clock_ns(CLOCK_MONOTONIC);
}

static u64 now_wall(void *ctx)
{
	(void)ctx;
	return clock_ns(CLOCK_REALTIME);
}

static void pic_output(void *ctx, unsigned int line, bool level)
{
	struct machine *m = ctx;

	(void)line;
	hv_line(&m->vcpu[0].hv, HALO_PIN_LINT0, level);
}

static int send_msi(void *ctx, u64 addr, u32 data)
{
	struct machine *m = ctx;

	return hv_msi(&m->hv, addr, data);
}

/* A global interrupt: I/O APIC pin n, and 8259 input n where there is one. */
static void set_gsi(void *ctx, unsigned int n, bool level)
{
	struct machine *m = ctx;

	pic_set(&m->pic, n, level);
	ioapic_set(&m->ioapic, n, level);
}

static void set_isa(void *ctx, unsigned int n, bool level)
{
	struct machine *m = ctx;

	pic_set(&m->pic, n, level);
	ioapic_set(&m->ioapic, n ? n : 2, level);
}

static void on_event(void *ctx, enum pc_event ev, unsigned int arg)
{
	struct machine *m = ctx;

	switch (ev) {
	case PC_RESET:
		machine_stop(m, EC_OK, false, "the guest reset itself (port %#x)", arg);
		break;
	case PC_POWEROFF:
		machine_stop(m, EC_OK, false, "the guest powered off");
		break;
	case PC_PANIC:
		machine_stop(m, EC_PANIC, true, "the guest panicked");
		break;
	case PC_SLEEP:
		if (arg == S3_SLP_TYP)
			m->sleep = true;
		else
			msg_note(1, "guest: sleep state %u is not there, ignored", arg);
		break;
	}
}

static void on_test_exit(void *ctx, u32 val)
{
	machine_stop(ctx, (int)((val << 1 | 1) & 0xff), false, "the test ended with status %u", val);
}

/*
 * Changing the protection of the host's page makes the module drop whatever it
 * maps of it; the contents stay. Read-only rather than none, so that another vCPU
 * that reads it meanwhile is not disturbed.
 */
static void zap_page(void *ctx, u64 gpa)
{
	struct machine *m = ctx;
	u8 *p = gmem_at(&m->mem, gpa & ~(PAGE_BYTES - 1), PAGE_BYTES);

	if (p && (mprotect(p, PAGE_BYTES, PROT_READ) ||
		  mprotect(p, PAGE_BYTES, PROT_READ | PROT_WRITE)))
		msg_note(1, "testdev: page %#llx not dropped", (unsigned long long)gpa);
}

static void on_tx(void *ctx, u8 byte)
{
	struct machine *m = ctx;

	console_put(&m->console, byte);
}

/**
 * machine_pump_input() - give the UART as much input as it takes
 * @m: the machine
 */
void machine_pump_input(struct machine *m)
{
	while (uart_room(&m->uart)) {
		int c = console_take(&m->console);

		if (c < 0)
			break;
		uart_push(&m->uart, (u8)c);
	}
}

static void on_rx_room(void *ctx)
{
	machine_pump_input(ctx);
}

static void on_unknown(void *ctx, u64 addr, unsigned int size, bool write, u64 val)
{
	struct machine *m = ctx;

	if (msg_level < 2 || addr > 0xffff || m->unknown[addr / 8] & 1 << addr % 8)
		return;
	m->unknown[addr / 8] |= (u8)(1 << addr % 8);
	if (write)
		msg_note(2, "port %#llx: nobody there, %u bytes written: %#llx",
			 (unsigned long long)addr, size, (unsigned long long)val);
	else
		msg_note(2, "port %#llx: nobody there, %u bytes read", (unsigned long long)addr, size);
}

static void on_unknown_mmio(void *ctx, u64 addr, unsigned int size, bool write, u64 val)
{
	(void)ctx;
	msg_note(2, "memory %#llx: nobody there, %u bytes %s %#llx", (unsigned long long)addr, size,
		 write ? "written:" : "read", (unsigned long long)val);
}

static int add_all(struct bus *b, const struct bus_range *r, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (bus_add(b, &r[i]))
			return msg_fail(EC_INTERNAL, r[i].name, NULL, "no place on the bus");
	}
	return 0;
}

static int add_devices(struct machine *m)
{
	const struct bus_range ports[] = {
		{ 0x20, 2, 1, "pic", pic_read, pic_write, &m->pic, 0 },
		{ 0x40, 4, 1, "pit", pit_read, pit_write, &m->pit, 0 },
		{ 0x60, 1, 1, "i8042", i8042_read, i8042_write, &m->misc, 0 },
		{ 0x61, 1, 1, "speaker", port61_read, port61_write, &m->pit, 0 },
		{ 0x64, 1, 1, "i8042", kbd_status_read, kbd_command_write, &m->misc, 0 },
		{ 0x70, 2, 1, "rtc", rtc_read, rtc_write, &m->rtc, 0 },
		{ 0x92, 1, 1, "port92", port92_read, port92_write, &m->misc, 0 },
		{ 0xa0, 2, 1, "pic", pic_slave_read, pic_slave_write, &m->pic, 0 },
		{ 0x3f8, 8, 1, "com1", uart_read, uart_write, &m->uart, 0 },
		{ 0x4d0, 2, 1, "elcr", pic_elcr_read, pic_elcr_write, &m->pic, 0 },
		{ 0x505, 1, 1, "pvpanic", pvpanic_read, pvpanic_write, &m->misc, 0 },
		{ PM_BASE, PM_BYTES, 4, "acpi", pm_read, pm_write, &m->misc, 0 },
		{ 0xcf9, 1, 1, "reset", cf9_read, cf9_write, &m->misc, 0 },
	};
	const struct bus_range mmio[] = {
		{ IOAPIC_GPA, PAGE_BYTES, 8, "ioapic", ioapic_read, ioapic_write, &m->ioapic, 0 },
	};
	int r = add_all(&m->pio, ports, ARRAY_SIZE(ports));

	return r ? r : add_all(&m->mmio, mmio, ARRAY_SIZE(mmio));
}

static int add_testdev(struct machine *m)
{
	struct testdev *t = &m->testdev;
	const struct bus_range ports[] = {
		{ 0xe0, 4, 4, "scratch", testdev_scratch_read, testdev_scratch_write, t, 0 },
		{ 0xe4, 4, 4, "zap", testdev_zero_read, testdev_zap_write, t, 0 },
		{ 0xf4, 4, 4, "exit", testdev_zero_read, testdev_exit_write, t, 0 },
		{ 0x510, 2, 2, "fw_cfg", fwcfg_read, fwcfg_write, t, 0 },
		{ 0x2000, IOAPIC_PINS, 4, "lines", testdev_zero_read, testdev_line_write, t, 0 },
	};
	const struct bus_range mmio[] = {
		{ TESTDEV_GPA, TESTDEV_BYTES, 8, "testmem", testdev_mem_read, testdev_mem_write, t, 0 },
	};
	int r;

	t->mem = calloc(1, TESTDEV_BYTES);
	if (!t->mem)
		return msg_fail(EC_ERROR, "memory", "free some", "none left");
	t->ram_bytes = m->cfg->memory;
	t->cpus = m->cfg->cpus;
	t->exit = on_test_exit;
	t->line = set_gsi;
	t->zap = zap_page;
	t->ctx = m;
	r = add_all(&m->pio, ports, ARRAY_SIZE(ports));
	return r ? r : add_all(&m->mmio, mmio, ARRAY_SIZE(mmio));
}

/* PCI's configuration ports; the reset port lies among them, but is a byte. */
#define PCI_CONFIG	0xcf8
#define PCI_BYTES	8

static void const_gaps(struct machine *m)
{
	int failed = 0;
	unsigned int i;
	u64 at = 0;

	/* -vv wants to hear of them. */
	if (msg_level >= 2)
		return;
	failed |= hv_const_zone(&m->hv, HALO_BUS_PIO, PCI_CONFIG, PCI_BYTES, 2 | 4, ~0ull);
	for (i = 0; i <= m->pio.n; i++) {
		u64 end = i < m->pio.n ? m->pio.r[i].base : 0x10000;
		u64 next = i < m->pio.n ? end + m->pio.r[i].len : end;

		if (end > PCI_CONFIG && end < PCI_CONFIG + PCI_BYTES) {
			end = PCI_CONFIG;
			next = PCI_CONFIG + PCI_BYTES;
		}
		if (end > at)
			failed |= hv_const_zone(&m->hv, HALO_BUS_PIO, at, end - at, 0, ~0ull);
		at = next;
	}
	if (failed)
		msg_note(1, "the module has no constant zones: absent ports cost an exit each");
}

/**
 * machine_wire() - power on the devices and connect them
 * @m: the machine, with its VM
 *
 * Return: 0, or the exit code after the error was told.
 */
int machine_wire(struct machine *m)
{
	struct irq_out intr = { pic_output, m, 0 };
	int r;

	pic_init(&m->pic, intr);
	ioapic_init(&m->ioapic, send_msi, m);
	pit_init(&m->pit, now_mono, m, (struct irq_out){ set_isa, m, 0 });
	rtc_init(&m->rtc, now_wall, m, (struct irq_out){ set_isa, m, 8 },
		 m->mem.low_bytes, m->mem.high_bytes, m->cfg->cpus);
	uart_init(&m->uart, (struct irq_out){ set_isa, m, 4 }, on_tx, on_rx_room, m);
	pcmisc_init(&m->misc, (struct irq_out){ set_isa, m, 9 }, on_event, now_mono, m);
	m->pio.unknown = on_unknown;
	m->pio.ctx = m;
	m->mmio.unknown = on_unknown_mmio;
	m->mmio.ctx = m;
	r = add_devices(m);
	if (!r && m->cfg->testdev)
		r = add_testdev(m);
	if (!r)
		const_gaps(m);
	return r;
}

static void say_hits(const struct bus *b, char *text, size_t room)
{
	u64 told = UINT64_MAX;
	size_t len = 0;
	int i;

	text[0] = 0;
	/* The busiest first, at most six. */
	for (i = 0; i < 6; i++) {
		const struct bus_range *best = NULL;
		unsigned int j;

		for (j = 0; j < b->n; j++) {
			if (b->r[j].hits && b->r[j].hits < told && (!best || b->r[j].hits > best->hits))
				best = &b->r[j];
		}
		if (!best || len + 40 > room)
			return;
		told = best->hits;
		len += (size_t)snprintf(text + len, room - len, "%s%s %llu", i ? ", " : " (",
					best->name, (unsigned long long)best->hits);
		snprintf(text + len, room - len, ")");
	}
}

/**
 * machine_summary() - say which exits there were, for -v
 * @m: the machine, stopped
 */
void machine_summary(const struct machine *m)
{
	u64 sum[EXIT_TYPES] = { 0 }, total = 0, other = 0;
	char pio[256], mmio[256];
	unsigned int i, j;

	for (i = 0; i < m->cfg->cpus; i++) {
		for (j = 0; j < EXIT_TYPES; j++) {
			sum[j] += m->vcpu[i].exits[j];
			total += m->vcpu[i].exits[j];
		}
	}
	other = total - sum[HALO_EXIT_PIO] - sum[HALO_EXIT_MMIO] - sum[HALO_EXIT_EOI] -
		sum[HALO_EXIT_INTACK] - sum[HALO_EXIT_HLT];
	say_hits(&m->pio, pio, sizeof(pio));
	say_hits(&m->mmio, mmio, sizeof(mmio));
	msg_note(1, "exits: total %llu, pio %llu%s, mmio %llu%s, eoi %llu, intack %llu, hlt %llu, other %llu",
		 (unsigned long long)total, (unsigned long long)sum[HALO_EXIT_PIO], pio,
		 (unsigned long long)sum[HALO_EXIT_MMIO], mmio,
		 (unsigned long long)sum[HALO_EXIT_EOI], (unsigned long long)sum[HALO_EXIT_INTACK],
		 (unsigned long long)sum[HALO_EXIT_HLT], (unsigned long long)other);
}
