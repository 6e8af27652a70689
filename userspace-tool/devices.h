/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The devices of a small PC. Each is a struct and pure functions over it: it
 * takes the time as an argument or through a clock function, drives its interrupt
 * through struct irq_out, and tells when it wants to be called next. So each is
 * unit-tested without a VM. All run under the machine's one device lock.
 */
#ifndef HALO_TOOL_DEVICES_H
#define HALO_TOOL_DEVICES_H

#include "types.h"

/* -- pic.c: the two 8259s ------------------------------------------------- */

struct pic_chip {
	u8 irr;
	u8 imr;
	u8 isr;
	u8 level;		/* present state of the inputs */
	u8 elcr;
	u8 elcr_mask;
	u8 base;		/* ICW2 */
	u8 init_step;		/* 0: operating, else the ICW awaited next */
	u8 lowest;		/* the input with the lowest priority */
	bool need_icw4;
	bool single;
	bool auto_eoi;
	bool rotate_aeoi;
	bool special_mask;
	bool nested_special;
	bool read_isr;
	bool poll;
};

struct pic {
	struct pic_chip chip[2];	/* master, slave */
	struct irq_out intr;
	bool out;
};

void pic_init(struct pic *p, struct irq_out intr);
void pic_set(struct pic *p, unsigned int pin, bool level);
u8 pic_ack(struct pic *p);
u64 pic_read(void *dev, u64 off, unsigned int size);
void pic_write(void *dev, u64 off, unsigned int size, u64 val);
u64 pic_slave_read(void *dev, u64 off, unsigned int size);
void pic_slave_write(void *dev, u64 off, unsigned int size, u64 val);
u64 pic_elcr_read(void *dev, u64 off, unsigned int size);
void pic_elcr_write(void *dev, u64 off, unsigned int size, u64 val);

/* -- ioapic.c ------------------------------------------------------------- */

#define IOAPIC_GPA	0xfec00000ull
#define IOAPIC_PINS	24

struct ioapic {
	u64 redir[IOAPIC_PINS];
	u32 level;		/* present state of the pins */
	u32 select;
	u32 id;
	/* Sends a message; returns how many vCPUs took it, or negative. */
	int (*msi)(void *ctx, u64 addr, u32 data);
	void *ctx;
};

void ioapic_init(struct ioapic *io, int (*msi)(void *ctx, u64 addr, u32 data), void *ctx);
void ioapic_set(struct ioapic *io, unsigned int pin, bool level);
void ioapic_eoi(struct ioapic *io, u8 vector);
u64 ioapic_read(void *dev, u64 off, unsigned int size);
void ioapic_write(void *dev, u64 off, unsigned int size, u64 val);

/* -- pit.c: the 8254 and port 0x61 ---------------------------------------- */

#define PIT_HZ	1193182ull

struct pit_channel {
	u8 mode;
	u8 access;		/* 1 low byte, 2 high byte, 3 low then high */
	bool bcd;
	bool gate;
	bool loaded;
	u32 reload;		/* 1 to 0x10000 */
	u64 start;		/* ns when the count began */
	bool write_high;	/* the next byte written is the high one */
	u8 write_low;
	bool read_high;
	bool latched;
	u16 latch;
	bool status_latched;
	u8 status;
};

struct pit {
	struct pit_channel ch[3];
	u64 next;		/* when channel 0 ticks, NEVER */
	u64 given;		/* ticks given since the count began */
	u8 speaker;		/* port 0x61 bits 0 and 1 */
	bool refresh;
	u64 (*now)(void *ctx);
	void *ctx;
	struct irq_out irq;
};

void pit_init(struct pit *p, u64 (*now)(void *ctx), void *ctx, struct irq_out irq);
u64 pit_deadline(const struct pit *p);
void pit_expire(struct pit *p, u64 now);
u64 pit_read(void *dev, u64 off, unsigned int size);
void pit_write(void *dev, u64 off, unsigned int size, u64 val);
u64 port61_read(void *dev, u64 off, unsigned int size);
void port61_write(void *dev, u64 off, unsigned int size, u64 val);

/* -- rtc.c: the MC146818 and its CMOS ------------------------------------- */

struct rtc {
	u8 cmos[128];
	u8 index;
	u64 checked;		/* last second whose events were noted */
	u64 period_next;	/* ns on the wall clock, NEVER */
	s64 offset;		/* guest seconds minus host seconds */
	u64 (*wall)(void *ctx);	/* ns since the epoch */
	void *ctx;
	struct irq_out irq;
};

void rtc_init(struct rtc *r, u64 (*wall)(void *ctx), void *ctx, struct irq_out irq,
	      u64 low_bytes, u64 high_bytes, unsigned int cpus);
/* In ns of the wall clock. */
u64 rtc_deadline(const struct rtc *r);
void rtc_expire(struct rtc *r);
bool rtc_interrupting(const struct rtc *r);
u64 rtc_read(void *dev, u64 off, unsigned int size);
void rtc_write(void *dev, u64 off, unsigned int size, u64 val);

/* -- uart.c: a 16550A ------------------------------------------------------ */

#define UART_FIFO	16

struct uart {
	u8 ier, iir_thre, lcr, mcr, scr, dll, dlm, fcr, lsr, msr_delta;
	u8 fifo[UART_FIFO];
	unsigned int head, count, trigger;
	struct irq_out irq;
	bool irq_level;
	void (*tx)(void *ctx, u8 byte);
	/* The guest took what was there: more may be pushed. */
	void (*rx_room)(void *ctx);
	void *ctx;
};

void uart_init(struct uart *u, struct irq_out irq, void (*tx)(void *ctx, u8 byte),
	       void (*rx_room)(void *ctx), void *ctx);
unsigned int uart_room(const struct uart *u);
void uart_push(struct uart *u, u8 byte);
void uart_break(struct uart *u);
u64 uart_read(void *dev, u64 off, unsigned int size);
void uart_write(void *dev, u64 off, unsigned int size, u64 val);

/* -- pcmisc.c: i8042, port 0x92, 0xcf9, ACPI PM, pvpanic -------------------- */

enum pc_event {
	PC_RESET,
	PC_POWEROFF,
	PC_PANIC,
	PC_SLEEP,
};

/**
 * struct pcmisc - the small change of a PC
 * @event: told of a reset, power-off, panic
 * @ctx: its first argument
 * @now: ns, monotonic, for the PM timer
 */
struct pcmisc {
	u8 kbd_cmd, kbd_ctr, kbd_out, kbd_status, outport;
	u8 port92, cf9;
	u16 pm_status, pm_enable, pm_control;
	struct irq_out sci;
	void (*event)(void *ctx, enum pc_event ev, unsigned int arg);
	u64 (*now)(void *ctx);
	void *ctx;
};

#define PM_BASE		0x600
#define PM_BYTES	0x10
#define S5_SLP_TYP	5
#define S3_SLP_TYP	1

void pcmisc_init(struct pcmisc *p, struct irq_out sci,
		 void (*event)(void *ctx, enum pc_event ev, unsigned int arg),
		 u64 (*now)(void *ctx), void *ctx);
bool pm_power_button(struct pcmisc *p);
bool pm_wake(struct pcmisc *p, bool alarm);
u64 i8042_read(void *dev, u64 off, unsigned int size);
void i8042_write(void *dev, u64 off, unsigned int size, u64 val);
u64 kbd_status_read(void *dev, u64 off, unsigned int size);
void kbd_command_write(void *dev, u64 off, unsigned int size, u64 val);
u64 port92_read(void *dev, u64 off, unsigned int size);
void port92_write(void *dev, u64 off, unsigned int size, u64 val);
u64 cf9_read(void *dev, u64 off, unsigned int size);
void cf9_write(void *dev, u64 off, unsigned int size, u64 val);
u64 pm_read(void *dev, u64 off, unsigned int size);
void pm_write(void *dev, u64 off, unsigned int size, u64 val);
u64 pvpanic_read(void *dev, u64 off, unsigned int size);
void pvpanic_write(void *dev, u64 off, unsigned int size, u64 val);

/* -- testdev.c ------------------------------------------------------------- */

#define TESTDEV_GPA	0xff000000ull
#define TESTDEV_BYTES	0x10000

/**
 * struct testdev - the device that kvm-unit-tests style kernels expect
 * @exit: told of a write to port 0xf4
 * @line: sets interrupt line n
 * @zap: drops the second-stage mapping of a guest page
 */
struct testdev {
	u32 scratch;
	u8 *mem;
	u16 selector;
	unsigned int pos;
	u64 ram_bytes;
	unsigned int cpus;
	void (*exit)(void *ctx, u32 val);
	void (*line)(void *ctx, unsigned int n, bool level);
	void (*zap)(void *ctx, u64 gpa);
	void *ctx;
};

void testdev_exit_write(void *dev, u64 off, unsigned int size, u64 val);
u64 testdev_scratch_read(void *dev, u64 off, unsigned int size);
void testdev_scratch_write(void *dev, u64 off, unsigned int size, u64 val);
void testdev_zap_write(void *dev, u64 off, unsigned int size, u64 val);
void testdev_line_write(void *dev, u64 off, unsigned int size, u64 val);
u64 testdev_zero_read(void *dev, u64 off, unsigned int size);
u64 testdev_mem_read(void *dev, u64 off, unsigned int size);
void testdev_mem_write(void *dev, u64 off, unsigned int size, u64 val);
u64 fwcfg_read(void *dev, u64 off, unsigned int size);
void fwcfg_write(void *dev, u64 off, unsigned int size, u64 val);

#endif /* HALO_TOOL_DEVICES_H */
