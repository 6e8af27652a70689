// SPDX-License-Identifier: GPL-2.0
/*
 * The interface does not change its shape by accident.
 *
 * Every offset that a program built against an earlier header relies on is
 * written down here once more, by hand, so that moving a field is a failure to
 * compile and not a surprise. Also: the header stands alone, in C and in C++.
 */
#include <linux/halo.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define SIZE(s, n)	_Static_assert(sizeof(struct s) == (n), #s " changed its size")
#define AT(s, f, n)	_Static_assert(offsetof(struct s, f) == (n), #s "." #f " moved")

SIZE(halo_cap_query, 192);
AT(halo_cap_query, value, 8);
AT(halo_cap_query, reason, 16);
AT(halo_cap_query, text, 24);

SIZE(halo_create_vm, 32);
AT(halo_create_vm, name, 8);

SIZE(halo_cpuid_entry, 32);
AT(halo_cpuid_entry, eax, 12);
AT(halo_cpuid_entry, reserved, 28);

SIZE(halo_cpuid, 16);
AT(halo_cpuid, entries, 8);

SIZE(halo_memslot, 40);
AT(halo_memslot, gpa, 16);
AT(halo_memslot, bytes, 24);
AT(halo_memslot, hva, 32);

SIZE(halo_zone, 64);
AT(halo_zone, addr, 16);
AT(halo_zone, len, 24);
AT(halo_zone, cookie, 32);
AT(halo_zone, match, 40);
AT(halo_zone, flags, 48);
AT(halo_zone, eventfd, 52);
AT(halo_zone, access, 56);

SIZE(halo_create_vcpu, 16);

SIZE(halo_clock, 64);
AT(halo_clock, clock_ns, 8);
AT(halo_clock, boottime_ns, 32);

SIZE(halo_msi, 24);
AT(halo_msi, addr, 8);
AT(halo_msi, data, 16);

SIZE(halo_vcpu_layout, 72);
AT(halo_vcpu_layout, state_offset, 8);
AT(halo_vcpu_layout, exits_offset, 24);
AT(halo_vcpu_layout, replies_offset, 40);
AT(halo_vcpu_layout, data_offset, 56);

/* Indices of either side on cache lines of their own. */
SIZE(halo_ring, 192);
AT(halo_ring, tail, 0);
AT(halo_ring, head, 64);
AT(halo_ring, entries, 128);
AT(halo_ring, entries_offset, 132);
AT(halo_ring, flags, 136);

SIZE(halo_exit, 64);
AT(halo_exit, seq, 0);
AT(halo_exit, type, 8);
AT(halo_exit, flags, 10);
AT(halo_exit, size, 12);
AT(halo_exit, insn_len, 13);
AT(halo_exit, vcpu, 14);
AT(halo_exit, addr, 16);
AT(halo_exit, data, 24);
AT(halo_exit, cookie, 32);
AT(halo_exit, rip, 40);
AT(halo_exit, insn, 48);

SIZE(halo_reply, 32);
AT(halo_reply, seq, 0);
AT(halo_reply, action, 8);
AT(halo_reply, vector, 9);
AT(halo_reply, has_error, 10);
AT(halo_reply, data, 16);
AT(halo_reply, error_code, 24);
AT(halo_reply, reserved2, 28);

SIZE(halo_segment, 16);
AT(halo_segment, limit, 8);
AT(halo_segment, selector, 12);
AT(halo_segment, attrib, 14);

SIZE(halo_table, 16);
AT(halo_table, limit, 8);

AT(halo_state, wanted, 0);
AT(halo_state, cached, 8);
AT(halo_state, commit, 16);
AT(halo_state, flags, 24);
AT(halo_state, gpr, 32);
AT(halo_state, rip, 160);
AT(halo_state, rflags, 168);
AT(halo_state, seg, 176);
AT(halo_state, gdt, 304);
AT(halo_state, idt, 320);
AT(halo_state, cr0, 336);
AT(halo_state, efer, 384);
AT(halo_state, dr, 392);
AT(halo_state, star, 440);
AT(halo_state, tsc_aux, 536);
AT(halo_state, event_type, 544);
AT(halo_state, event_error, 548);
AT(halo_state, nmi_masked, 552);
AT(halo_state, mp_state, 560);
SIZE(halo_state, 568);

SIZE(halo_msr_entry, 16);
SIZE(halo_msrs, 16);
SIZE(halo_lapic_state, 1032);
SIZE(halo_xsave, 4160);
AT(halo_xsave, area, 64);
SIZE(halo_line, 16);
SIZE(halo_irqfd, 32);
AT(halo_irqfd, resample, 12);
AT(halo_irqfd, addr, 16);
AT(halo_irqfd, data, 24);
SIZE(halo_vcpu_ring, 48);
AT(halo_vcpu_ring, wake_after_us, 12);
SIZE(halo_vcpu_stats, 248);
AT(halo_vcpu_stats, entries, 8);
AT(halo_vcpu_stats, reserved2, 120);
SIZE(halo_stats_header, 96);
AT(halo_stats_header, desc_offset, 4);
AT(halo_stats_header, data_offset, 16);
AT(halo_stats_header, vm, 24);
AT(halo_stats_header, id, 32);
AT(halo_stats_header, name, 72);
SIZE(halo_stats_desc, 48);
AT(halo_stats_desc, kind, 4);
AT(halo_stats_desc, unit, 6);
AT(halo_stats_desc, name, 8);

/* Padding would be a hole through which kernel memory leaks. */
static void exit_has_no_padding(void **state)
{
	struct halo_exit e;

	assert_int_equal(sizeof(e), sizeof(e.seq) + sizeof(e.type) + sizeof(e.flags) +
			 sizeof(e.size) + sizeof(e.insn_len) + sizeof(e.vcpu) + sizeof(e.addr) +
			 sizeof(e.data) + sizeof(e.cookie) + sizeof(e.rip) + sizeof(e.insn));
}

static void entries_of_a_ring_are_aligned(void **state)
{
	assert_int_equal(sizeof(struct halo_ring) % 64, 0);
	assert_int_equal(64 % sizeof(struct halo_reply), 0);
}

static void groups_and_masks_fit(void **state)
{
	assert_int_equal(HALO_STATE_GPRS | HALO_STATE_SEGS | HALO_STATE_CRS | HALO_STATE_DRS |
			 HALO_STATE_MSRS | HALO_STATE_EVENTS | HALO_STATE_MP, HALO_STATE_ALL);
	assert_int_equal(HALO_CAP_MAX, 23);
}

static void ioctl_numbers_are_unique(void **state)
{
	static const unsigned long all[] = {
		HALO_GET_API_VERSION, HALO_GET_CAP, HALO_GET_SUPPORTED_CPUID, HALO_CREATE_VM,
		HALO_VM_SET_MEMSLOT, HALO_VM_SET_ZONE, HALO_VM_CREATE_VCPU, HALO_VM_MSI,
		HALO_VCPU_RUN, HALO_VCPU_GET_LAYOUT, HALO_VCPU_KICK, HALO_VCPU_SET_CPUID,
		HALO_VCPU_GET_CPUID, HALO_VCPU_GET_MSRS, HALO_VCPU_SET_MSRS, HALO_VCPU_GET_LAPIC,
		HALO_VCPU_SET_LAPIC, HALO_VCPU_GET_XSAVE, HALO_VCPU_SET_XSAVE, HALO_VCPU_SET_LINE,
		HALO_VCPU_GET_STATS, HALO_VCPU_GET_STATE, HALO_VCPU_SET_STATE,
		HALO_VM_SET_IRQFD, HALO_VCPU_SET_RING, HALO_VCPU_DOORBELL,
		HALO_VM_STATS_FD, HALO_VCPU_STATS_FD, HALO_VM_GET_CLOCK, HALO_VM_SET_CLOCK,
		HALO_VM_SET_TSC_KHZ,
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_int_equal(_IOC_TYPE(all[i]), HALO_IOC_MAGIC);
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(_IOC_NR(all[i]), _IOC_NR(all[j]));
	}
}

/* The header alone in a file, through the compilers a user may have. */
static void header_stands_alone(void **state)
{
	static const char *const languages[] = { "-std=c99 -x c", "-std=gnu17 -x c",
						 "-std=c++11 -x c++" };
	char path[4096], command[9000];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

	assert_true(len > 0);
	path[len] = '\0';
	for (int i = 0; i < 3; i++) {	/* build/host/test_uapi -> the top of the tree */
		char *slash = strrchr(path, '/');

		assert_non_null(slash);
		*slash = '\0';
	}
	for (size_t i = 0; i < 3; i++) {
		snprintf(command, sizeof(command),
			 "echo '#include <linux/halo.h>' | ${CC:-cc} -Wall -Wextra -Werror %s %s -fsyntax-only -I'%s/uapi' -",
			 strstr(languages[i], "++") ? "" : "-pedantic -Wno-long-long",
			 languages[i], path);
		assert_int_equal(system(command), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_has_no_padding),
		cmocka_unit_test(entries_of_a_ring_are_aligned),
		cmocka_unit_test(groups_and_masks_fit),
		cmocka_unit_test(ioctl_numbers_are_unique),
		cmocka_unit_test(header_stands_alone),
	};

	return cmocka_run_group_tests_name("uapi", tests, NULL, NULL);
}
