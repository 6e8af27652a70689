/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_ACPI_H
#define HALO_TOOL_ACPI_H

#include "gmem.h"
#include "types.h"

/* dsdt.c */
extern const u8 *const dsdt_aml;
extern const u32 dsdt_aml_bytes;

/* acpi.c */
u64 acpi_build(struct gmem *m, unsigned int cpus, const u8 *dsdt, u32 dsdt_bytes);
u32 acpi_waking_vector(const struct gmem *m, u64 rsdp);
int acpi_dump(const char *dir, unsigned int cpus, const u8 *dsdt, u32 dsdt_bytes);

#endif /* HALO_TOOL_ACPI_H */
