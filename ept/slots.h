/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The memslot table: a sorted array that is never changed, only replaced.
 *
 * Pure: it knows neither locks nor pages, so that its edges (the end of the
 * table, addresses that wrap, slots that touch) are unit-tested. ept/memslot.c
 * publishes and retires the arrays.
 */
#ifndef HALO_SLOTS_H
#define HALO_SLOTS_H

#include "pure.h"

#define HALO_MEM_SLOTS		512

/* Flags of a slot. */
#define HALO_SLOT_READONLY	BIT(0)
#define HALO_SLOT_FLAGS		HALO_SLOT_READONLY

/**
 * struct halo_slot - guest-physical memory and the mapping behind it
 * @gpa: guest-physical address of its first byte
 * @bytes: length; 0 = no slot
 * @hva: user address of its first byte
 * @id: the user's number for it
 * @flags: HALO_SLOT_*
 */
struct halo_slot {
	u64 gpa;
	u64 bytes;
	u64 hva;
	u32 id;
	u32 flags;
};

/**
 * struct halo_slots - all slots of a VM, by rising @gpa
 * @older: the table that this one replaced, if it may still be read
 * @count: how many
 * @slot: them
 */
struct halo_slots {
	struct halo_slots *older;
	u32 count;
	struct halo_slot slot[];
};

/* Size of a table. */
static inline size_t halo_slots_bytes(u32 count)
{
	return sizeof(struct halo_slots) + (size_t)count * sizeof(struct halo_slot);
}

/* What a range of user addresses has of a slot, in guest addresses. False: nothing. */
static inline bool halo_slot_part(const struct halo_slot *slot, u64 start, u64 end,
				  u64 *from, u64 *to)
{
	*from = slot->gpa + (max(start, slot->hva) - slot->hva);
	*to = slot->gpa + (min(end, slot->hva + slot->bytes) - slot->hva);
	return start < slot->hva + slot->bytes && slot->hva < end;
}

int halo_slots_check(const struct halo_slot *want, unsigned int gpa_bits);
int halo_slots_replace(struct halo_slots *new, const struct halo_slots *old,
		       const struct halo_slot *want, struct halo_slot *gone);
const struct halo_slot *halo_slots_find(const struct halo_slots *slots, u64 gpa,
					unsigned int *hint);
int halo_slot_level(const struct halo_slot *slot, u64 gpa, int max_level);

#endif /* HALO_SLOTS_H */
