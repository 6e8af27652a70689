// SPDX-License-Identifier: GPL-2.0
/*
 * What halo stat makes of a statistics fd: a module's as it should be, a newer one's, and
 * bytes that no module would write.
 */
/* sources: userspace-tool/stats.c userspace-tool/msg.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "stats.h"

struct file {
	struct halo_stats_header h;
	struct halo_stats_desc d[3];
	u64 v[3];
};

static struct file good(void)
{
	struct file f = {
		.h = { .size = sizeof(f.h), .desc_offset = offsetof(struct file, d),
		       .desc_bytes = sizeof(f.d[0]), .desc_count = 3,
		       .data_offset = offsetof(struct file, v), .data_bytes = sizeof(f.v),
		       .vm = 7, .id = "1234-5/vcpu3", .name = "guest" },
		.d = { { 16, HALO_STATS_COUNTER, HALO_STATS_NONE, "exits" },
		       { 0, HALO_STATS_GAUGE, HALO_STATS_NONE, "in_guest" },
		       { 8, HALO_STATS_COUNTER, HALO_STATS_NS, "halted_ns" } },
		.v = { 1, 22, 333 },
	};

	return f;
}

static int parse(const void *file, size_t bytes, struct stat_sample *s)
{
	/* On the heap and to the byte: the sanitizer sees what is read beyond. */
	void *copy = malloc(bytes ? bytes : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, file, bytes);
	r = stats_parse(copy, bytes, s);
	free(copy);
	return r;
}

static void reads_what_is_told(void **state)
{
	struct file f = good();
	struct stat_sample s;

	assert_int_equal(parse(&f, sizeof(f), &s), 0);
	assert_int_equal(s.vm, 7);
	assert_int_equal(s.vcpu, 3);
	assert_string_equal(s.name, "guest");
	assert_int_equal(s.n, 3);
	assert_int_equal(stats_find(&s, "exits")->value, 333);
	assert_int_equal(stats_find(&s, "in_guest")->value, 1);
	assert_int_equal(stats_find(&s, "halted_ns")->unit, HALO_STATS_NS);
	assert_null(stats_find(&s, "no_such"));
	free(s.v);
	strcpy(f.h.id, "1234-5");
	assert_int_equal(parse(&f, sizeof(f), &s), 0);
	assert_int_equal(s.vcpu, -1);
	free(s.v);
}

static void goes_by_the_offsets(void **state)
{
	/* A newer module: longer header and descriptors, other places. */
	struct {
		struct halo_stats_header h;
		u64 more;
		u64 v[2];
		struct {
			struct halo_stats_desc d;
			u64 more;
		} d[2];
	} f = { .h = good().h, .v = { 5, 6 } };
	struct stat_sample s;

	f.h.size += 8;
	f.h.data_offset = 104;
	f.h.data_bytes = 16;
	f.h.desc_offset = 120;
	f.h.desc_bytes = 56;
	f.h.desc_count = 2;
	f.d[0].d = (struct halo_stats_desc){ 8, 0, 0, "b" };
	f.d[1].d = (struct halo_stats_desc){ 0, 9, 9, "a" };
	assert_int_equal(parse(&f, sizeof(f), &s), 0);
	assert_int_equal(stats_find(&s, "b")->value, 6);
	assert_int_equal(stats_find(&s, "a")->value, 5);
	free(s.v);
}

static void refuses(struct file f, size_t bytes)
{
	struct stat_sample s;

	assert_int_equal(parse(&f, bytes, &s), -1);
}

static void refuses_what_contradicts_itself(void **state)
{
	struct file f;
	size_t n;

	for (n = 0; n < sizeof(f); n++)
		refuses(good(), n);
	f = good(), f.h.size = 8, refuses(f, sizeof(f));
	f = good(), f.h.desc_bytes = 0, refuses(f, sizeof(f));
	f = good(), f.h.desc_count = 0xffffffff, refuses(f, sizeof(f));
	f = good(), f.h.desc_count = 5, refuses(f, sizeof(f));
	f = good(), f.h.desc_offset = 0xffffffff, refuses(f, sizeof(f));
	f = good(), f.h.data_offset = sizeof(f), refuses(f, sizeof(f));
	f = good(), f.h.data_bytes = 0, refuses(f, sizeof(f));
	f = good(), f.d[2].offset = 17, refuses(f, sizeof(f));
	f = good(), f.d[2].offset = 0xfffffff8, refuses(f, sizeof(f));
	f = good(), memset(f.h.id, 'x', sizeof(f.h.id)), refuses(f, sizeof(f));
	f = good(), memset(f.h.name, 'x', sizeof(f.h.name)), refuses(f, sizeof(f));
	f = good(), memset(f.d[1].name, 'x', sizeof(f.d[1].name)), refuses(f, sizeof(f));
}

static void survives_any_bytes(void **state)
{
	struct stat_sample s;
	struct file f;
	u32 i, j;

	srand(1);
	for (i = 0; i < 20000; i++) {
		f = good();
		for (j = rand() % 8; j; j--)
			((u8 *)&f)[rand() % sizeof(f)] = (u8)rand();
		if (!parse(&f, rand() % (sizeof(f) + 1), &s))
			free(s.v);
		if (!parse(&f, sizeof(f), &s))
			free(s.v);
	}
}

static void tells_whom_one_means(void **state)
{
	struct stat_sample s = { .vm = 1, .vcpu = 0, .pid = 1234, .id = "1234-5/vcpu0",
				 .name = "guest" };

	assert_true(stats_match(&s, "1234"));
	assert_true(stats_match(&s, "guest"));
	assert_true(stats_match(&s, "1234-5"));
	assert_false(stats_match(&s, "1234-"));
	assert_false(stats_match(&s, "1234-55"));
	assert_false(stats_match(&s, "123"));
	assert_false(stats_match(&s, "12345"));
	assert_false(stats_match(&s, "gues"));
	assert_false(stats_match(&s, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_is_told),
		cmocka_unit_test(goes_by_the_offsets),
		cmocka_unit_test(refuses_what_contradicts_itself),
		cmocka_unit_test(survives_any_bytes),
		cmocka_unit_test(tells_whom_one_means),
	};

	return cmocka_run_group_tests_name("tool_stats", tests, NULL, NULL);
}
