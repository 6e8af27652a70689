/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_CPUID_EDIT_H
#define HALO_TOOL_CPUID_EDIT_H

#include <linux/halo.h>

#include "types.h"

void cpuid_hide_hints(struct halo_cpuid_entry *e, u32 n);
u32 cpuid_edit(struct halo_cpuid_entry *e, u32 n, u32 room, unsigned int id, unsigned int cpus);

#endif /* HALO_TOOL_CPUID_EDIT_H */
