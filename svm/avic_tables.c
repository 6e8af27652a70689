// SPDX-License-Identifier: GPL-2.0
/*
 * AVIC without a CPU: the entries of its two tables, what its two exits mean, and what the
 * page of registers must look like for the LAPIC's model (APM volume 2, 15.29).
 *
 * Called by avic.c, under the locks that it names; by no other.  Pure: no machine that this
 * was built on has AVIC, so all of it that can be told from the manual is kept where a test
 * can reach it.
 */
#include "avic_tables.h"

#define REG_TPR		0x080
#define REG_ISR		0x100

#define ICR_LOGICAL	BIT(11)
#define ICR_SHORTHAND	(3u << 18)

static u32 *reg(const void *page, u32 offset)
{
	return (u32 *)((u8 *)page + offset);
}

/**
 * avic_running_trusted() - may an entry say that its vCPU runs
 * @family: of the CPU
 *
 * Family 17h and Hygon's 18h go by an IsRunning that is out of date (erratum 1235): the
 * sender would not exit, and who waits in HLT would not be woken.
 */
bool avic_running_trusted(unsigned int family)
{
	return family != 0x17 && family != 0x18;
}

/**
 * avic_entry() - entry of the physical APIC ID table
 * @page: physical address of the registers that IPIs go to
 * @host_id: APIC ID of the CPU that it runs on
 * @running: it does; not said of a CPU whose ID has no room here
 */
u64 avic_entry(u64 page, u32 host_id, bool running)
{
	u64 entry = AVIC_VALID | (page & AVIC_PAGE);

	return running && host_id <= AVIC_HOST_ID ? entry | AVIC_RUNNING | host_id : entry;
}

/**
 * avic_physical_field() - what the VMCB says of that table
 * @table: its physical address
 * @last: last index
 */
u64 avic_physical_field(u64 table, unsigned int last)
{
	return (table & AVIC_PAGE) | (last & 0xff);
}

/**
 * avic_key() - what a vCPU is called in the logical modes
 * @ldr: its LDR
 * @dfr: its DFR
 */
u16 avic_key(u32 ldr, u32 dfr)
{
	return AVIC_KEY_PRESENT | ldr >> 24 | (dfr >> 28 == 0xf ? 0 : AVIC_KEY_CLUSTER);
}

/* Index of a name in the table: -1 if it is none or several. */
static int logical_slot(u16 key)
{
	u32 cluster = key & AVIC_KEY_CLUSTER ? key >> 4 & 0xf : 0;
	u32 bits = key & AVIC_KEY_CLUSTER ? key & 0xf : key & 0xff;

	if (!is_power_of_2(bits) || cluster == 0xf)
		return -1;
	return cluster * 4 + fls64(bits) - 1;
}

/**
 * avic_logical_fill() - write the logical APIC ID table
 * @table: the table, which CPUs may read meanwhile
 * @keys: avic_key() of each of AVIC_VCPUS vCPUs, 0 of one that has no xAPIC
 *
 * The table knows one vCPU to a name and one name to a vCPU, all in one model.  If guests
 * have it otherwise it stays empty: then every IPI to a logical destination exits.
 *
 * Return: whether all could be said.
 */
bool avic_logical_fill(u32 *table, const u16 *keys)
{
	u32 want[AVIC_LOGICAL_SLOTS] = {};
	unsigned int i, models = 0;
	bool whole = true;
	int slot;

	for (i = 0; i < AVIC_VCPUS; i++) {
		if (!keys[i])
			continue;
		models |= keys[i] & AVIC_KEY_CLUSTER ? 2 : 1;
		if (!(keys[i] & 0xff))
			continue;
		slot = logical_slot(keys[i]);
		if (slot < 0 || want[slot])
			whole = false;
		else
			want[slot] = AVIC_LOGICAL_VALID | i;
	}
	whole &= models != 3;
	for (i = 0; i < AVIC_LOGICAL_SLOTS; i++)
		WRITE_ONCE(table[i], whole ? want[i] : 0);
	return whole;
}

/**
 * avic_ipi_done() - has everybody in the tables got an IPI that was incomplete
 * @info1: EXITINFO1: ICR
 * @info2: EXITINFO2: reason and index
 * @logical_off: avic_logical_fill() could not say all
 *
 * Return: true if nobody but those is to get it, and who does not run to be woken; false
 * if it is to be sent from the start.
 */
bool avic_ipi_done(u64 info1, u64 info2, bool logical_off)
{
	u32 reason = info2 >> 32;

	if (reason != AVIC_IPI_NOT_RUNNING && reason != AVIC_IPI_TARGET)
		return false;
	return !(logical_off && (info1 & ICR_LOGICAL) && !(info1 & ICR_SHORTHAND));
}

/**
 * avic_access_traps() - has the instruction of an access been done (table 15-22)
 * @info1: EXITINFO1
 *
 * Return: true if the page holds what was written and RIP is past it, false if it is
 * still to be done.
 */
bool avic_access_traps(u64 info1)
{
	if (!(info1 & AVIC_ACCESS_WRITE))
		return false;
	switch (info1 & AVIC_ACCESS_OFFSET) {
	case 0x020:			/* ID */
	case 0x0b0 ... 0x0f0:		/* EOI, RRR, LDR, DFR, SVR */
	case 0x280:			/* ESR */
	case 0x300:			/* ICR, low half */
	case 0x320 ... 0x380:		/* LVT, initial count */
	case 0x3e0:			/* divisor */
		return true;
	default:
		return false;
	}
}

/**
 * avic_keep() - note what the guest may overwrite before the model sees it
 * @page: the registers
 * @keep: where
 */
void avic_keep(const void *page, u32 keep[AVIC_KEEPS])
{
	unsigned int i;

	for (i = 0; i < AVIC_KEEPS; i++)
		keep[i] = *reg(page, AVIC_KEEP_FIRST + i * 16);
}

/**
 * avic_written() - a trapped write, as the model wants it: still to be done
 * @page: the registers; the old value is put back where it matters
 * @keep: as avic_keep() left it
 * @offset: register
 *
 * Return: what was written.
 */
u32 avic_written(void *page, const u32 keep[AVIC_KEEPS], u32 offset)
{
	u32 value = READ_ONCE(*reg(page, offset & AVIC_ACCESS_OFFSET));

	if (offset >= AVIC_KEEP_FIRST && offset <= AVIC_KEEP_LAST)
		*reg(page, offset & AVIC_ACCESS_OFFSET) = keep[(offset - AVIC_KEEP_FIRST) / 16];
	return value;
}

/**
 * avic_ppr() - processor priority by TPR and ISR, which the CPU has changed
 * @page: the registers
 */
u8 avic_ppr(const void *page)
{
	u8 tpr = *reg(page, REG_TPR), isrv = 0;
	int w;

	for (w = 7; w >= 0 && !isrv; w--)
		if (*reg(page, REG_ISR + w * 16))
			isrv = (w * 32 + fls64(*reg(page, REG_ISR + w * 16)) - 1) & 0xf0;
	return (tpr & 0xf0) >= isrv ? tpr : isrv;
}
