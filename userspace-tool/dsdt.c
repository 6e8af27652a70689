// SPDX-License-Identifier: GPL-2.0
/*
 * The bytes that iasl makes of dsdt.asl, in one object.
 */
#include "acpi.h"
#include "dsdt.hex.h"

const u8 *const dsdt_aml = dsdt_aml_code;
const u32 dsdt_aml_bytes = sizeof(dsdt_aml_code);
