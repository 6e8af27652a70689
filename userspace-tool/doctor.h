/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_DOCTOR_H
#define HALO_TOOL_DOCTOR_H

#include "opts.h"

#define HALO_VERSION	"0.1.0"

int doctor(const struct list_config *c);
int version(const struct list_config *c);

#endif /* HALO_TOOL_DOCTOR_H */
