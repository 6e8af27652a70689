// SPDX-License-Identifier: GPL-2.0
/*
 * VT-x: what the CPU can do.
 *
 * This version of the module does not drive VT-x: the probe says so, and no
 * other operation is reached, since no VM is made on a CPU whose probe fails.
 */
#include <linux/cpufeature.h>
#include "backend.h"

static void vmx_probe(struct halo_caps *caps)
{
	memset(caps, 0, sizeof(*caps));
	caps->error = -EOPNOTSUPP;
	if (boot_cpu_has(X86_FEATURE_VMX))
		caps->text = "this version of Halo does not drive VT-x; it needs AMD-V";
	else
		caps->text = "the CPU has no VT-x (or the outer hypervisor hides it)";
}

const struct halo_backend vmx_backend = {
	.name = "VT-x",
	.id = 2,
	.probe = vmx_probe,
};
