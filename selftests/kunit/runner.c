// SPDX-License-Identifier: GPL-2.0
/*
 * halo_kunit.ko: the host tests of the pure code, as KUnit suites.
 *
 * One text of tests, two machines to run it on: as an ordinary program with
 * cmocka (selftests/host), and here, where the code has the kernel's own atomics,
 * allocator and compiler flags, under KASAN, UBSAN and lockdep. shim/ has headers
 * of the C library's names that the tests include; each test file's main() is
 * renamed, is called at load, and hands its table of cases to
 * halo_shim_run_group(), which makes a KUnit suite of it.
 *
 * Nothing of halo.ko is used: the pure sources are linked in once more, so both
 * may be loaded. A case that fails ends at once; if it has threads that still run,
 * the module must stay loaded.
 */
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <kunit/test.h>
#include "shim/cmocka.h"
#include "shim/pthread.h"

#define SUITE(name)	int halo_suite_##name(void);
#include "suites.h"
#undef SUITE

static bool plant;
module_param(plant, bool, 0444);
MODULE_PARM_DESC(plant, "add a suite that fails, to see that it is noticed");

/* One cmocka group as a KUnit suite. */
struct group {
	struct list_head list;
	struct kunit_suite suite;
	struct kunit_suite *self[1];
	const struct CMUnitTest *tests;
	struct kunit_case cases[];
};

/* A thread of a test's; joined by whoever made it. */
struct halo_thread {
	struct task_struct *task;
	struct completion done;
	void *(*fn)(void *arg);
	void *arg;
	void *result;
};

/* Cases run one at a time. */
static LIST_HEAD(groups);
static struct group *group_now;
static struct kunit *test_now;
static struct task_struct *runner;
static void *state;

/* What a case needs that only an ordinary program has. */
static const struct {
	const char *name;
	const char *why;
} not_here[] = {
	{ "no_memory_changes_nothing", "the linker replaces calloc() for it" },
};

static const struct CMUnitTest *this_case(const char *name)
{
	const struct CMUnitTest *t = group_now->tests;

	while (strcmp(t->name, name))
		t++;
	return t;
}

void halo_shim_fail(const char *file, int line, const char *fmt, ...)
{
	struct va_format vaf;
	va_list args;

	va_start(args, fmt);
	vaf.fmt = fmt;
	vaf.va = &args;
	kunit_err(test_now, "%s:%d: %pV", kbasename(file), line, &vaf);
	va_end(args);
	kunit_set_failure(test_now);
	if (current == runner)
		kunit_try_catch_throw(&test_now->try_catch);
	kthread_complete_and_exit(&((struct halo_thread *)kthread_data(current))->done, 0);
}

void halo_shim_breathe(void)
{
	static unsigned int count;

	if (!(++count & 0x3ff) && current == runner)
		cond_resched();
}

static int thread_main(void *data)
{
	struct halo_thread *t = data;

	t->result = t->fn(t->arg);
	kthread_complete_and_exit(&t->done, 0);
	return 0;
}

int pthread_create(pthread_t *thread, const void *attr, void *(*fn)(void *arg), void *arg)
{
	struct halo_thread *t = kzalloc(sizeof(*t), GFP_KERNEL);

	if (!t)
		return ENOMEM;
	init_completion(&t->done);
	t->fn = fn;
	t->arg = arg;
	t->task = kthread_run(thread_main, t, "halo_kunit");
	if (IS_ERR(t->task)) {
		kfree(t);
		return EAGAIN;
	}
	*thread = t;
	return 0;
}

int pthread_join(pthread_t t, void **result)
{
	wait_for_completion(&t->done);
	if (result)
		*result = t->result;
	kfree(t);
	return 0;
}

void halo_shim_rwlock_unlock(struct rw_semaphore *l)
{
	/* RWSEM_WRITER_LOCKED: readers and a writer are never in at once. */
	if (atomic_long_read(&l->count) & 1)
		up_write(l);
	else
		up_read(l);
}

static void run_case(struct kunit *test)
{
	const struct CMUnitTest *t = this_case(test->name);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(not_here); i++)
		if (!strcmp(t->name, not_here[i].name))
			kunit_skip(test, "%s", not_here[i].why);
	t->test_func(&state);
}

static int setup_case(struct kunit *test)
{
	const struct CMUnitTest *t = this_case(test->name);

	test_now = test;
	runner = current;
	state = t->initial_state;
	return t->setup_func ? t->setup_func(&state) : 0;
}

static void end_case(struct kunit *test)
{
	const struct CMUnitTest *t = this_case(test->name);

	/* After a failure this is another thread than the one that failed. */
	runner = current;
	if (t->teardown_func)
		t->teardown_func(&state);
}

int halo_shim_run_group(const char *name, const struct CMUnitTest *tests, size_t count)
{
	struct CMUnitTest *copy;
	struct group *g;
	size_t i;

	g = kzalloc(struct_size(g, cases, count + 1), GFP_KERNEL);
	copy = kmemdup(tests, count * sizeof(*tests), GFP_KERNEL);
	if (!g || !copy) {
		kfree(g);
		kfree(copy);
		return -ENOMEM;
	}
	g->tests = copy;
	for (i = 0; i < count; i++)
		g->cases[i] = (struct kunit_case){ .run_case = run_case, .name = copy[i].name };
	snprintf((char *)g->suite.name, sizeof(g->suite.name), "halo_%s", name);
	g->suite.init = setup_case;
	g->suite.exit = end_case;
	g->suite.test_cases = g->cases;
	g->self[0] = &g->suite;
	group_now = g;
	list_add_tail(&g->list, &groups);
	return __kunit_test_suites_init(g->self, 1);
}

static void planted(void **unused)
{
	assert_int_equal(1 + 1, 3);
}

static int halo_suite_planted(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(planted) };

	return cmocka_run_group_tests_name("planted", tests, NULL, NULL);
}

static void free_groups(void)
{
	struct group *g, *next;

	list_for_each_entry_safe(g, next, &groups, list) {
		__kunit_test_suites_exit(g->self, 1);
		kfree(g->tests);
		kfree(g);
	}
}

static int __init halo_kunit_init(void)
{
	int err = 0;

#define SUITE(name)	err = err ?: halo_suite_##name();
#include "suites.h"
#undef SUITE
	if (!err && plant)
		err = halo_suite_planted();
	if (err)
		free_groups();
	return err;
}

static void __exit halo_kunit_exit(void)
{
	free_groups();
}

module_init(halo_kunit_init);
module_exit(halo_kunit_exit);

MODULE_DESCRIPTION("KUnit suites of Halo's pure code");
MODULE_LICENSE("GPL");
