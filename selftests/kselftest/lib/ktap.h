/* SPDX-License-Identifier: GPL-2.0 */
/*
 * KTAP for the programs of this directory.
 *
 * TEST(name) defines and registers one test.  Each runs in a child of its own
 * with a deadline, so that one that crashes or hangs costs its own line only;
 * a child that SIGKILL does not end is a finding about the kernel.  Nothing
 * here knows of virtual machines.
 */
#ifndef HALO_KTAP_H
#define HALO_KTAP_H

#include <stdbool.h>
#include <stdint.h>

#define KTAP_PASS	0
#define KTAP_FAIL	1
#define KTAP_SKIP	4

struct ktap_test {
	const char *name;
	void (*fn)(void);
	unsigned int seconds;
};

void ktap_register(const char *name, void (*fn)(void), unsigned int seconds);
void ktap_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ktap_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), noreturn));
void ktap_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* How many times slower than the stock kernel this one is ($KTAP_SLOW). */
unsigned int ktap_slow(void);

#define TEST_SECONDS(test, limit)						\
	static void test(void);							\
	__attribute__((constructor)) static void register_##test(void)		\
	{									\
		ktap_register(#test, test, limit);				\
	}									\
	static void test(void)

#define TEST(test) TEST_SECONDS(test, 20)

#define CHECK(cond)								\
	do {									\
		if (!(cond))							\
			ktap_fail(__FILE__, __LINE__, "%s", #cond);		\
	} while (0)

#define CHECK_EQ(a, b)								\
	do {									\
		unsigned long long a_ = (unsigned long long)(a);		\
		unsigned long long b_ = (unsigned long long)(b);		\
										\
		if (a_ != b_)							\
			ktap_fail(__FILE__, __LINE__, "%s is %#llx, not %s = %#llx", \
				  #a, a_, #b, b_);				\
	} while (0)

/* The call gives -1 and errno @want. */
#define CHECK_ERRNO(call, want)							\
	do {									\
		long r_ = (long)(call);						\
		int e_ = r_ == -1 ? errno : 0;					\
										\
		if (e_ != (want))						\
			ktap_fail(__FILE__, __LINE__, "%s gives %ld, %s; not %s", \
				  #call, r_, strerror(e_), strerror(want));	\
	} while (0)

#endif
