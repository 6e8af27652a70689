/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The host tests that also run in the kernel: SUITE(x) is
 * selftests/host/test_x.c, built with the sources that its own first lines name.
 * Kbuild reads this list too, so one suite is one line of this form.
 */
SUITE(lapic)
SUITE(lapic_timer)
SUITE(lapic_route)
SUITE(lapic_model)
SUITE(lapic_virt)
SUITE(ring)
SUITE(zone)
SUITE(cpuid)
SUITE(walk)
SUITE(insn)
SUITE(gpt)
SUITE(gpt_threads)
SUITE(slots)
SUITE(tsc)
SUITE(vmx_check)
SUITE(vmx_controls)
SUITE(avic)
SUITE(lapic_direct)
