// SPDX-License-Identifier: GPL-2.0
/*
 * The memslot table. See slots.h.
 *
 * A sorted array and a binary search: nine steps for a full table, and most
 * lookups end at the hint. A tree would have to be changed in place, which
 * readers without a lock could not bear.
 */
#include "slots.h"
#include "gpt.h"

/**
 * halo_slots_check() - is a slot sound, for itself
 * @want: the slot; bytes 0 asks for deletion, then only the number counts
 * @gpa_bits: width of a guest-physical address
 *
 * Whether @want->hva may be used by this process is the caller's to check.
 *
 * Return: 0 or -EINVAL.
 */
int halo_slots_check(const struct halo_slot *want, unsigned int gpa_bits)
{
	const u64 limit = 1ULL << gpa_bits;

	if (want->id >= HALO_MEM_SLOTS || (want->flags & ~HALO_SLOT_FLAGS))
		return -EINVAL;
	if (!want->bytes)
		return 0;
	if ((want->gpa | want->bytes | want->hva) & 0xfff)
		return -EINVAL;
	if (want->bytes > limit || want->gpa > limit - want->bytes)
		return -EINVAL;
	return want->hva + want->bytes < want->hva ? -EINVAL : 0;
}

/**
 * halo_slots_replace() - make a table with one slot added, changed or deleted
 * @new: room for one slot more than @old has
 * @old: stays as it is
 * @want: the slot, checked by halo_slots_check(); bytes 0 deletes number @id
 * @gone: out: what stood under that number before; its bytes are 0 if nothing did
 *
 * Return: 0; -EEXIST: it would overlap another slot; -EINVAL: the number exists
 * with another length or user address; -ENOENT: there is nothing to delete.
 */
int halo_slots_replace(struct halo_slots *new, const struct halo_slots *old,
		       const struct halo_slot *want, struct halo_slot *gone)
{
	bool placed = !want->bytes;
	u32 i, n = 0;

	*gone = (struct halo_slot){};
	for (i = 0; i < old->count; i++) {
		const struct halo_slot *slot = &old->slot[i];

		if (slot->id == want->id) {
			*gone = *slot;
			continue;
		}
		if (want->bytes && want->gpa < slot->gpa + slot->bytes &&
		    slot->gpa < want->gpa + want->bytes)
			return -EEXIST;
		if (!placed && want->gpa < slot->gpa) {
			new->slot[n++] = *want;
			placed = true;
		}
		new->slot[n++] = *slot;
	}
	if (!placed)
		new->slot[n++] = *want;
	new->count = n;

	if (!want->bytes)
		return gone->bytes ? 0 : -ENOENT;
	if (gone->bytes && (gone->bytes != want->bytes || gone->hva != want->hva))
		return -EINVAL;
	return 0;
}

/**
 * halo_slots_find() - which slot holds an address
 * @slots: the table
 * @gpa: the guest's to choose
 * @hint: in: any value; out: helps the next lookup. May be shared by threads
 *
 * Return: the slot or NULL.
 */
const struct halo_slot *halo_slots_find(const struct halo_slots *slots, u64 gpa,
					unsigned int *hint)
{
	unsigned int last = READ_ONCE(*hint);
	const struct halo_slot *slot;
	u32 low = 0, high = slots->count;

	if (last < high) {
		slot = &slots->slot[array_index_nospec(last, high)];
		if (gpa - slot->gpa < slot->bytes)
			return slot;
	}
	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (gpa < slots->slot[mid].gpa)
			high = mid;
		else
			low = mid + 1;
	}
	if (!low)
		return NULL;
	low = array_index_nospec(low - 1, slots->count);
	slot = &slots->slot[low];
	if (gpa - slot->gpa >= slot->bytes)
		return NULL;
	WRITE_ONCE(*hint, low);
	return slot;
}

/**
 * halo_slot_level() - the largest leaf that may map an address of a slot
 * @slot: the slot
 * @gpa: address in it
 * @max_level: no larger than this
 *
 * A large leaf must lie in the slot wholly, and guest and user address must be
 * alike in the bits that the leaf does not translate.
 *
 * Return: GPT_LEVEL_*.
 */
int halo_slot_level(const struct halo_slot *slot, u64 gpa, int max_level)
{
	int level;

	for (level = max_level; level > GPT_LEVEL_4K; level--) {
		u64 mask = gpt_span(level) - 1, base = gpa & ~mask;

		if (!((slot->gpa ^ slot->hva) & mask) && base >= slot->gpa &&
		    base - slot->gpa + mask < slot->bytes)
			break;
	}
	return level;
}
