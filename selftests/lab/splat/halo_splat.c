// SPDX-License-Identifier: GPL-2.0
/*
 * halo_splat: bugs on purpose.
 *
 * Loaded by `selftests/lab/run --plant KIND` and by nothing else, to show that
 * each detector of the host kernel fires and that the splat gate sees it. One
 * parameter names the bug; module init commits it. It must never be installed.
 */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/slab.h>
#include <linux/string.h>

static char *kind = "none";
module_param(kind, charp, 0444);
MODULE_PARM_DESC(kind, "warn, kasan, leak, ubsan, lockdep, atomic, stuck or panic");

static DEFINE_MUTEX(first);
static DEFINE_MUTEX(second);

/* Read through here so that the compiler neither warns of the bugs nor removes them. */
static volatile int distance = 40;

static int splat_warn(void)
{
	WARN(1, "halo_splat: planted\n");
	return 0;
}

static int splat_kasan(void)
{
	char *p = kmalloc(64, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	memset(p, 1, 64);
	kfree(p);
	OPTIMIZER_HIDE_VAR(p);
	distance = READ_ONCE(p[8]);
	return 0;
}

/* Several, since a stale stack slot or register can keep one object referenced. */
static int splat_leak(void)
{
	int i;

	for (i = 0; i < 16; i++) {
		char *p = kmalloc(96, GFP_KERNEL);

		if (!p)
			return -ENOMEM;
		memset(p, i, 96);
		OPTIMIZER_HIDE_VAR(p);
	}
	return 0;
}

static int splat_ubsan(void)
{
	int one = 1;

	OPTIMIZER_HIDE_VAR(one);
	distance = one << distance;
	return 0;
}

static int splat_lockdep(void)
{
	mutex_lock(&first);
	mutex_lock(&second);
	mutex_unlock(&second);
	mutex_unlock(&first);

	mutex_lock(&second);
	mutex_lock(&first);
	mutex_unlock(&first);
	mutex_unlock(&second);
	return 0;
}

static int splat_atomic(void)
{
	preempt_disable();
	mutex_lock(&first);
	mutex_unlock(&first);
	preempt_enable();
	return 0;
}

static int splat_stuck(void)
{
	__module_get(THIS_MODULE);
	return 0;
}

static int splat_panic(void)
{
	panic("halo_splat: planted");
}

static const struct {
	const char *kind;
	int (*commit)(void);
} splats[] = {
	{ "warn", splat_warn },		{ "kasan", splat_kasan },
	{ "leak", splat_leak },		{ "ubsan", splat_ubsan },
	{ "lockdep", splat_lockdep },	{ "atomic", splat_atomic },
	{ "stuck", splat_stuck },	{ "panic", splat_panic },
};

static int __init halo_splat_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(splats); i++)
		if (!strcmp(kind, splats[i].kind))
			return splats[i].commit();
	return -EINVAL;
}

static void __exit halo_splat_exit(void)
{
}

module_init(halo_splat_init);
module_exit(halo_splat_exit);
MODULE_DESCRIPTION("Bugs on purpose, for testing the splat gate");
MODULE_LICENSE("GPL");
