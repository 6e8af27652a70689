/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cmocka's names for tests that run in the kernel: what selftests/host uses of
 * them, on top of runner.c.
 */
#ifndef HALO_SHIM_CMOCKA_H
#define HALO_SHIM_CMOCKA_H

#include <linux/compiler.h>
#include <linux/string.h>
#include <linux/types.h>

struct CMUnitTest {
	const char *name;
	void (*test_func)(void **state);
	int (*setup_func)(void **state);
	int (*teardown_func)(void **state);
	void *initial_state;
};

#define cmocka_unit_test(f)			{ #f, f, NULL, NULL, NULL }
#define cmocka_unit_test_setup(f, s)		{ #f, f, s, NULL, NULL }
#define cmocka_unit_test_setup_teardown(f, s, t) { #f, f, s, t, NULL }

#define cmocka_run_group_tests_name(name, tests, setup, teardown)		\
	halo_shim_run_group(name, tests, sizeof(tests) / sizeof((tests)[0]))
#define cmocka_run_group_tests(tests, setup, teardown)				\
	cmocka_run_group_tests_name(HALO_SUITE, tests, setup, teardown)

int halo_shim_run_group(const char *name, const struct CMUnitTest *tests, size_t count);
void __noreturn __printf(3, 4) halo_shim_fail(const char *file, int line, const char *fmt, ...);
void halo_shim_breathe(void);

#define halo_shim_check(good, ...) do {						\
	halo_shim_breathe();							\
	if (!(good))								\
		halo_shim_fail(__FILE__, __LINE__, __VA_ARGS__);		\
} while (0)

#define fail_msg(...)		halo_shim_fail(__FILE__, __LINE__, __VA_ARGS__)
#define fail()			halo_shim_fail(__FILE__, __LINE__, "failed")
#define print_message(...)	pr_info(__VA_ARGS__)
#define skip()			halo_shim_fail(__FILE__, __LINE__, "a case may not skip here")

#define assert_true(c)		halo_shim_check(c, "%s is not true", #c)
#define assert_false(c)		halo_shim_check(!(c), "%s is true", #c)
#define assert_null(p)		halo_shim_check(!(p), "%s is not NULL", #p)
#define assert_non_null(p)	halo_shim_check(p, "%s is NULL", #p)

#define halo_shim_compare(a, op, b) do {					\
	unsigned long long a_ = (unsigned long long)(a);			\
	unsigned long long b_ = (unsigned long long)(b);			\
	halo_shim_check(a_ op b_, "%s " #op " %s: %#llx, %#llx", #a, #b, a_, b_); \
} while (0)

#define assert_int_equal(a, b)		halo_shim_compare(a, ==, b)
#define assert_int_not_equal(a, b)	halo_shim_compare(a, !=, b)
#define assert_ptr_equal(a, b)		halo_shim_compare(a, ==, b)
#define assert_ptr_not_equal(a, b)	halo_shim_compare(a, !=, b)

#define assert_in_range(v, low, high) do {					\
	unsigned long long v_ = (unsigned long long)(v);			\
	halo_shim_check(v_ >= (unsigned long long)(low) &&			\
			v_ <= (unsigned long long)(high),			\
			"%s is %#llx", #v, v_);					\
} while (0)

#define assert_memory_equal(a, b, n)						\
	halo_shim_check(!memcmp(a, b, n), "%s and %s differ", #a, #b)
#define assert_memory_not_equal(a, b, n)					\
	halo_shim_check(memcmp(a, b, n), "%s and %s are equal", #a, #b)
#define assert_string_equal(a, b)						\
	halo_shim_check(!strcmp(a, b), "%s is %s", #a, a)

#endif /* HALO_SHIM_CMOCKA_H */
