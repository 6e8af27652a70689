// SPDX-License-Identifier: GPL-2.0
/* What the module says about itself and this machine. */
#include "hvm.h"

static int cap(u32 nr, struct halo_cap_query *q)
{
	memset(q, 0, sizeof(*q));
	q->size = sizeof(*q);
	q->cap = nr;
	return ioctl(dev_open(), HALO_GET_CAP, q);
}

TEST(api_version_is_this_headers)
{
	CHECK_EQ(ioctl(dev_open(), HALO_GET_API_VERSION, 0), HALO_API_VERSION);
}

TEST(every_capability_answers)
{
	struct halo_cap_query q;
	u32 i;

	for (i = 0; i < HALO_CAP_MAX; i++) {
		CHECK(!cap(i, &q));
		CHECK(memchr(q.text, 0, sizeof(q.text)));
		/* Off has a reason, and a reason has a sentence. */
		CHECK(q.value || q.reason != HALO_REASON_NONE);
		CHECK((q.reason == HALO_REASON_NONE) == !q.text[0]);
	}
}

TEST(unknown_capability_is_refused)
{
	struct halo_cap_query q;

	CHECK_ERRNO(cap(HALO_CAP_MAX, &q), EINVAL);
	CHECK_ERRNO(cap(0xffffffff, &q), EINVAL);
}

TEST(backend_fits_the_cpu)
{
	struct halo_cap_query q;
	u32 r[4];

	CHECK(!cap(HALO_CAP_BACKEND, &q));
	cpuid(0x80000001, 0, r);
	if (r[2] & BIT(2))
		CHECK_EQ(q.value, HALO_BACKEND_SVM);
}

TEST(limits_are_sane)
{
	struct halo_cap_query q;

	CHECK(!cap(HALO_CAP_MAX_VCPUS, &q));
	CHECK(q.value >= 1 && q.value <= 4096);
	CHECK(!cap(HALO_CAP_MAX_MEMSLOTS, &q));
	CHECK(q.value >= 8);
	CHECK(!cap(HALO_CAP_GPA_BITS, &q));
	CHECK(q.value >= 32 && q.value <= 52);
	CHECK(!cap(HALO_CAP_HUGE_PAGES, &q));
	CHECK(q.value & BIT(12));
	CHECK(!cap(HALO_CAP_TSC_KHZ, &q));
	CHECK(q.value > 1000);
}

TEST(supported_cpuid_tells_its_size)
{
	static struct halo_cpuid_entry e[HALO_MAX_CPUID];
	struct halo_cpuid c = { .size = sizeof(c), .count = 0, .entries = (u64)e };
	int dev = dev_open();
	u32 n, i;

	CHECK_ERRNO(ioctl(dev, HALO_GET_SUPPORTED_CPUID, &c), E2BIG);
	n = c.count;
	CHECK(n > 4 && n <= HALO_MAX_CPUID);
	c.count = n - 1;
	CHECK_ERRNO(ioctl(dev, HALO_GET_SUPPORTED_CPUID, &c), E2BIG);
	c.count = HALO_MAX_CPUID;
	CHECK(!ioctl(dev, HALO_GET_SUPPORTED_CPUID, &c));
	CHECK_EQ(c.count, n);
	for (i = 0; i < n; i++) {
		CHECK(!e[i].reserved && !(e[i].flags & ~HALO_CPUID_SUBLEAF));
		/* Nested virtualization is not there: nor is its bit. */
		if (e[i].leaf == 0x80000001)
			CHECK(!(e[i].ecx & BIT(2)));
		if (e[i].leaf == 1)
			CHECK(!(e[i].ecx & BIT(5)));
	}
}
