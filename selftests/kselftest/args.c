// SPDX-License-Identifier: GPL-2.0
/*
 * Every ioctl against sizes, reserved fields, pointers, fds and processes that
 * it must refuse.
 */
#include <linux/kcmp.h>
#include <sys/wait.h>
#include "hvm.h"

enum fd_kind { DEV, VM, VCPU };

struct call {
	const char *name;
	enum fd_kind on;
	unsigned long cmd;
	u32 bytes;
	u32 min;		/* smallest size that is taken */
	bool out;		/* only written to: buffers are fine */
	int ok;			/* errno of the plain call with zeroes, 0 = success */
	u32 reserved[8];	/* offsets of bytes that must be zero */
};

#define R(type, field)	offsetof(struct type, field)
#define END		0xffffffff

static const struct call calls[] = {
	{ "GET_CAP", DEV, HALO_GET_CAP, sizeof(struct halo_cap_query),
	  offsetof(struct halo_cap_query, reserved), false, 0,
	  { R(halo_cap_query, reserved), END } },
	{ "GET_SUPPORTED_CPUID", DEV, HALO_GET_SUPPORTED_CPUID, sizeof(struct halo_cpuid),
	  sizeof(struct halo_cpuid), false, E2BIG, { END } },
	{ "CREATE_VM", DEV, HALO_CREATE_VM, sizeof(struct halo_create_vm),
	  sizeof(struct halo_create_vm), false, 0,
	  { R(halo_create_vm, flags), R(halo_create_vm, name), R(halo_create_vm, name) + 23,
	    END } },
	{ "SET_MEMSLOT", VM, HALO_VM_SET_MEMSLOT, sizeof(struct halo_memslot),
	  sizeof(struct halo_memslot), false, ENOENT,
	  { R(halo_memslot, reserved), R(halo_memslot, flags) + 1, END } },
	{ "SET_ZONE", VM, HALO_VM_SET_ZONE, sizeof(struct halo_zone), sizeof(struct halo_zone),
	  false, EINVAL, { R(halo_zone, reserved), R(halo_zone, flags) + 1, END } },
	{ "CREATE_VCPU", VM, HALO_VM_CREATE_VCPU, sizeof(struct halo_create_vcpu),
	  sizeof(struct halo_create_vcpu), false, EEXIST,
	  { R(halo_create_vcpu, flags), R(halo_create_vcpu, flags) + 3, END } },
	{ "MSI", VM, HALO_VM_MSI, sizeof(struct halo_msi), sizeof(struct halo_msi), false, EINVAL,
	  { R(halo_msi, reserved), R(halo_msi, reserved2), END } },
	{ "SET_IRQFD", VM, HALO_VM_SET_IRQFD, sizeof(struct halo_irqfd), sizeof(struct halo_irqfd),
	  false, -1, { R(halo_irqfd, reserved), R(halo_irqfd, flags) + 1, END } },
	{ "GET_LAYOUT", VCPU, HALO_VCPU_GET_LAYOUT, sizeof(struct halo_vcpu_layout),
	  sizeof(struct halo_vcpu_layout), true, 0, { END } },
	{ "SET_CPUID", VCPU, HALO_VCPU_SET_CPUID, sizeof(struct halo_cpuid),
	  sizeof(struct halo_cpuid), false, 0, { END } },
	{ "GET_CPUID", VCPU, HALO_VCPU_GET_CPUID, sizeof(struct halo_cpuid),
	  sizeof(struct halo_cpuid), false, 0, { END } },
	{ "GET_MSRS", VCPU, HALO_VCPU_GET_MSRS, sizeof(struct halo_msrs), sizeof(struct halo_msrs),
	  false, 0, { END } },
	{ "SET_MSRS", VCPU, HALO_VCPU_SET_MSRS, sizeof(struct halo_msrs), sizeof(struct halo_msrs),
	  false, 0, { END } },
	{ "GET_LAPIC", VCPU, HALO_VCPU_GET_LAPIC, sizeof(struct halo_lapic_state),
	  sizeof(struct halo_lapic_state), true, 0, { END } },
	{ "SET_LAPIC", VCPU, HALO_VCPU_SET_LAPIC, sizeof(struct halo_lapic_state),
	  sizeof(struct halo_lapic_state), false, -1, { R(halo_lapic_state, reserved), END } },
	{ "GET_XSAVE", VCPU, HALO_VCPU_GET_XSAVE, sizeof(struct halo_xsave),
	  sizeof(struct halo_xsave), true, 0, { END } },
	{ "SET_XSAVE", VCPU, HALO_VCPU_SET_XSAVE, sizeof(struct halo_xsave),
	  sizeof(struct halo_xsave), false, -1,
	  { R(halo_xsave, reserved), R(halo_xsave, reserved2[0]), R(halo_xsave, reserved2[6]),
	    END } },
	{ "SET_LINE", VCPU, HALO_VCPU_SET_LINE, sizeof(struct halo_line), sizeof(struct halo_line),
	  false, 0, { R(halo_line, reserved), END } },
	{ "GET_STATS", VCPU, HALO_VCPU_GET_STATS, sizeof(struct halo_vcpu_stats),
	  sizeof(struct halo_vcpu_stats), true, 0, { END } },
	{ "SET_RING", VCPU, HALO_VCPU_SET_RING, sizeof(struct halo_vcpu_ring),
	  sizeof(struct halo_vcpu_ring), false, 0,
	  { R(halo_vcpu_ring, flags), R(halo_vcpu_ring, poll_ns) + 3,
	    R(halo_vcpu_ring, wake_after_us) + 3, R(halo_vcpu_ring, reserved[0]),
	    R(halo_vcpu_ring, reserved[3]), END } },
};

static const unsigned long plain[] = {
	HALO_VCPU_RUN, HALO_VCPU_KICK, HALO_VCPU_GET_STATE, HALO_VCPU_SET_STATE,
};

static int fds[3];
static u8 *two_pages;	/* the second one is not there */

static struct vm *setup(void)
{
	struct vm *vm = vm_bare();

	vcpu_new(vm, 0);
	fds[DEV] = vm->dev;
	fds[VM] = vm->fd;
	fds[VCPU] = vm->cpu[0]->fd;
	two_pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	CHECK(two_pages != MAP_FAILED);
	CHECK(!munmap(two_pages + 3 * PAGE, PAGE));
	return vm;
}

/* A call with @bytes of zeroes but its size, @at set to 1; gives the errno. */
static int try(const struct call *c, u32 size, u32 at)
{
	u8 *buf = two_pages;
	int ret;

	memset(buf, 0, 3 * PAGE);
	memcpy(buf, &size, 4);
	if (at != END)
		buf[at] |= 1;
	ret = ioctl(fds[c->on], c->cmd, buf);
	if (ret < 0)
		return errno;
	if (c->cmd == HALO_CREATE_VM)
		close(ret);
	return 0;
}

#define EXPECT(c, got, want, what)						\
	do {									\
		int g_ = (got), w_ = (want);					\
										\
		if (g_ != w_)							\
			ktap_fail(__FILE__, __LINE__, "%s, %s: %s, not %s", (c)->name, what, \
				  strerror(g_), strerror(w_));			\
	} while (0)

/* In the order of the table: SET_CPUID has emptied what GET_CPUID gets. */
TEST(sizes_below_the_first_version)
{
	u32 i, size;

	setup();
	for (i = 0; i < ARRAY_SIZE(calls); i++)
		for (size = 0; size < calls[i].min; size += size < 8 ? 1 : 4)
			EXPECT(&calls[i], try(&calls[i], size, END), EINVAL, "small size");
}

TEST(exact_size)
{
	u32 i;

	setup();
	for (i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i].ok >= 0)
			EXPECT(&calls[i], try(&calls[i], calls[i].bytes, END), calls[i].ok,
			       "exact size");
}

TEST(larger_with_a_tail_of_zeroes)
{
	u32 i;

	setup();
	for (i = 0; i < ARRAY_SIZE(calls); i++)
		if (calls[i].ok >= 0)
			EXPECT(&calls[i], try(&calls[i], calls[i].bytes + 64, END), calls[i].ok,
			       "zero tail");
}

TEST(larger_with_a_tail_that_means_something)
{
	u32 i;

	setup();
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		if (calls[i].out)
			continue;
		EXPECT(&calls[i], try(&calls[i], calls[i].bytes + 64, calls[i].bytes), E2BIG,
		       "first byte of the tail");
		EXPECT(&calls[i], try(&calls[i], calls[i].bytes + 64, calls[i].bytes + 63), E2BIG,
		       "last byte of the tail");
	}
}

/* The tail is looked at: it must be there. Sizes that nobody has end quickly. */
TEST(huge_sizes)
{
	static const u32 sizes[] = { 0x3fff, 0x7fffffff, 0x80000000, 0xffffffff };
	u32 i, j;
	int err;

	setup();
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			err = try(&calls[i], sizes[j], END);
			if (calls[i].out)
				EXPECT(&calls[i], err, 0, "huge size");
			else if (err != EFAULT && err != E2BIG)
				EXPECT(&calls[i], err, EFAULT, "huge size");
		}
	}
}

TEST(reserved_fields)
{
	u32 i, j;

	setup();
	for (i = 0; i < ARRAY_SIZE(calls); i++)
		for (j = 0; calls[i].reserved[j] != END; j++)
			EXPECT(&calls[i], try(&calls[i], calls[i].bytes, calls[i].reserved[j]),
			       EINVAL, "reserved field");
}

TEST(pointers_to_nothing)
{
	const unsigned long at[] = {
		0, 8, 0xffff800000000000, 0xffffffff81000000, 0x8000000000000000, ~0ul - 3,
	};
	u32 i, j, size;

	setup();
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		const struct call *c = &calls[i];

		for (j = 0; j < ARRAY_SIZE(at); j++)
			EXPECT(c, ioctl(fds[c->on], c->cmd, at[j]) < 0 ? errno : 0, EFAULT,
			       "bad pointer");
		/* The size is there, the rest is not. */
		size = c->bytes;
		memcpy(two_pages + 3 * PAGE - 4, &size, 4);
		EXPECT(c, ioctl(fds[c->on], c->cmd, two_pages + 3 * PAGE - 4) < 0 ? errno : 0,
		       EFAULT, "half a struct");
	}
}

TEST(wrong_fd)
{
	u32 i, k;

	setup();
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		for (k = DEV; k <= VCPU; k++) {
			struct call c = calls[i];

			if (k == c.on)
				continue;
			c.on = k;
			EXPECT(&c, try(&c, c.bytes, END), ENOTTY, "wrong fd");
		}
	}
	for (i = 0; i < ARRAY_SIZE(plain); i++) {
		CHECK_ERRNO(ioctl(fds[DEV], plain[i], 0), ENOTTY);
		CHECK_ERRNO(ioctl(fds[VM], plain[i], 0), ENOTTY);
	}
	CHECK_ERRNO(ioctl(fds[DEV], HALO_VM_STATS_FD, 0), ENOTTY);
	CHECK_ERRNO(ioctl(fds[VCPU], HALO_VM_STATS_FD, 0), ENOTTY);
	CHECK_ERRNO(ioctl(fds[DEV], HALO_VCPU_STATS_FD, 0), ENOTTY);
	CHECK_ERRNO(ioctl(fds[VM], HALO_VCPU_STATS_FD, 0), ENOTTY);
}

TEST(unknown_numbers)
{
	u32 i, k;

	setup();
	for (k = DEV; k <= VCPU; k++) {
		for (i = 0x32; i < 0x100; i++)
			CHECK_ERRNO(ioctl(fds[k], _IO(HALO_IOC_MAGIC, i), 0), ENOTTY);
		/* Right number, wrong size or direction: another ioctl. */
		CHECK_ERRNO(ioctl(fds[k], _IOW(HALO_IOC_MAGIC, 0x10, u32), two_pages), ENOTTY);
		CHECK_ERRNO(ioctl(fds[k], HALO_VCPU_RUN ^ 0x100, 0), ENOTTY);
	}
}

TEST(another_process)
{
	const struct halo_vcpu_layout *l;
	int status;
	pid_t pid;
	u32 i;

	l = &setup()->cpu[0]->layout;
	pid = fork();
	if (!pid) {
		for (i = 0; i < ARRAY_SIZE(calls); i++)
			if (calls[i].on != DEV)
				EXPECT(&calls[i], try(&calls[i], calls[i].bytes, END), EIO,
				       "other mm");
		for (i = 0; i < ARRAY_SIZE(plain); i++)
			CHECK_ERRNO(ioctl(fds[VCPU], plain[i], 0), EIO);
		/* The rings may be served from there. */
		CHECK_ERRNO(mmap(NULL, l->state_bytes, PROT_READ, MAP_SHARED, fds[VCPU],
				 l->state_offset), EIO);
		CHECK(mmap(NULL, l->exits_bytes, PROT_READ, MAP_SHARED, fds[VCPU],
			   l->exits_offset) != MAP_FAILED);
		CHECK_ERRNO(mmap(NULL, l->exits_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
				 fds[VCPU], l->exits_offset), EPERM);
		CHECK(!ioctl(fds[VCPU], HALO_VCPU_DOORBELL, 0));
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}

TEST(vcpu_ids_and_ring_sizes)
{
	static const u32 bad[] = { 1, 2, 3, 5, 63, 65, 1023, 1025, 2048, 0x80000000, 0xffffffff };
	struct halo_cap_query q = { .size = sizeof(q), .cap = HALO_CAP_MAX_VCPUS };
	struct halo_create_vcpu a = { .size = sizeof(a) };
	struct vm *vm = vm_bare();
	u32 i, n = 0;
	int fd;

	CHECK(!ioctl(vm->dev, HALO_GET_CAP, &q));
	a.id = q.value;
	CHECK_ERRNO(ioctl(vm->fd, HALO_VM_CREATE_VCPU, &a), EINVAL);
	a.id = 0xffffffff;
	CHECK_ERRNO(ioctl(vm->fd, HALO_VM_CREATE_VCPU, &a), EINVAL);
	a.id = 0;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		a.ring_entries = bad[i];
		CHECK_ERRNO(ioctl(vm->fd, HALO_VM_CREATE_VCPU, &a), EINVAL);
	}
	for (i = 4; i <= 1024; i *= 2, n++) {
		struct halo_vcpu_layout l = { .size = sizeof(l) };

		if (n >= q.value)
			break;
		a.id = n;
		a.ring_entries = i;
		fd = ioctl(vm->fd, HALO_VM_CREATE_VCPU, &a);
		CHECK(fd >= 0);
		CHECK(!ioctl(fd, HALO_VCPU_GET_LAYOUT, &l));
		CHECK_EQ(l.ring_entries, i);
		CHECK(l.exits_bytes >= i * sizeof(struct halo_exit));
		CHECK_ERRNO(ioctl(vm->fd, HALO_VM_CREATE_VCPU, &a), EEXIST);
		close(fd);
	}
}

TEST(mmap_rules)
{
	struct vm *vm = vm_bare();
	struct vcpu *v = vcpu_new(vm, 0);
	struct halo_vcpu_layout *l = &v->layout;
	const int rw = PROT_READ | PROT_WRITE;

	CHECK_ERRNO(mmap(NULL, l->exits_bytes, rw, MAP_SHARED, v->fd, l->exits_offset), EPERM);
	CHECK_ERRNO(mprotect((void *)v->exits, l->exits_bytes, rw), EACCES);
	CHECK_ERRNO(mprotect(v->s, l->state_bytes, PROT_READ | PROT_EXEC), EACCES);
	CHECK_ERRNO(mmap(NULL, l->state_bytes + PAGE, rw, MAP_SHARED, v->fd, l->state_offset),
		    EINVAL);
	CHECK_ERRNO(mmap(NULL, l->state_bytes, rw, MAP_PRIVATE, v->fd, l->state_offset), EINVAL);
	CHECK_ERRNO(mmap(NULL, PAGE, rw, MAP_SHARED, v->fd, l->state_offset + PAGE), EINVAL);
	CHECK_ERRNO(mmap(NULL, PAGE, rw | PROT_EXEC, MAP_SHARED, v->fd, l->state_offset), EINVAL);
	CHECK_ERRNO(mmap(NULL, PAGE, rw, MAP_SHARED, v->fd, 0x7ffffffff000), EINVAL);
	CHECK_ERRNO(mremap(v->s, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
	CHECK_ERRNO(mmap(NULL, PAGE, rw, MAP_SHARED, vm->fd, 0), ENODEV);
}
