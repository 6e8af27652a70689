// SPDX-License-Identifier: GPL-2.0
/*
 * From files to a guest ready to run: memory, ACPI tables, kernel, initrd.
 *
 * Everything that can be wrong with the user's files is found here, before
 * /dev/halo is touched; --dry-run ends after it. One thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acpi.h"
#include "machine.h"
#include "msg.h"

#define HUGE	(2 * MIB)

static void *map_guest(u64 bytes)
{
	/* Aligned, so that a large page here can back one in the guest. */
	u8 *p = mmap(NULL, bytes + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	u64 lead;

	if (p == MAP_FAILED)
		return NULL;
	lead = (HUGE - ((u64)(uintptr_t)p & (HUGE - 1))) & (HUGE - 1);
	if (lead)
		munmap(p, lead);
	munmap(p + lead + bytes, HUGE - lead);
	p += lead;
	if (mprotect(p, bytes, PROT_READ | PROT_WRITE)) {
		munmap(p, bytes);
		return NULL;
	}
	madvise(p, bytes, MADV_HUGEPAGE);
	madvise(p, bytes, MADV_DONTFORK);
	return p;
}

/**
 * machine_memory() - allocate guest memory
 * @m: the machine
 *
 * Return: 0, or the exit code after the error was told.
 */
int machine_memory(struct machine *m)
{
	struct gmem *g = &m->mem;
	u64 total = m->cfg->memory;

	g->low_bytes = total < GMEM_HOLE ? total : GMEM_HOLE;
	g->high_bytes = total - g->low_bytes;
	g->low = map_guest(g->low_bytes);
	if (g->low && g->high_bytes)
		g->high = map_guest(g->high_bytes);
	if (g->low && (!g->high_bytes || g->high))
		return 0;
	return msg_fail(EC_ERROR, "--memory", "give less", "%llu MiB can't be mapped: %s",
			(unsigned long long)(total >> 20), strerror(errno));
}

/**
 * machine_free_memory() - undo machine_memory()
 * @m: the machine
 */
void machine_free_memory(struct machine *m)
{
	if (m->mem.low)
		munmap(m->mem.low, m->mem.low_bytes);
	if (m->mem.high)
		munmap(m->mem.high, m->mem.high_bytes);
	memset(&m->mem, 0, sizeof(m->mem));
}

struct file {
	u8 *data;
	u64 bytes;
};

static int map_file(const char *path, struct file *f)
{
	struct stat st;
	int fd, r = EC_NOIMAGE;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		r = errno == ENOENT ? msg_fail(EC_NOIMAGE, path, "check the path", "no such file")
				    : msg_fail(EC_NOIMAGE, path, "make it readable", "%s", strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		r = msg_fail(EC_NOIMAGE, path, "give a file", "not a regular file");
	} else {
		f->bytes = (u64)st.st_size;
		if (!f->bytes) {
			f->data = (u8 *)"";
			r = 0;
			goto out;
		}
		f->data = mmap(NULL, f->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
		r = 0;
		if (f->data == MAP_FAILED) {
			f->data = NULL;
			r = msg_fail(EC_NOIMAGE, path, "copy it elsewhere", "can't be read: %s",
				     strerror(errno));
		}
	}
out:
	if (fd >= 0)
		close(fd);
	return r;
}

static void unmap_file(struct file *f)
{
	if (f->data && f->bytes)
		munmap(f->data, f->bytes);
}

/**
 * machine_load() - put ACPI tables, kernel and initrd into guest memory
 * @m: the machine
 *
 * Return: 0, or the exit code after the error was told.
 */
int machine_load(struct machine *m)
{
	const struct run_config *c = m->cfg;
	struct file kernel = { NULL, 0 }, initrd = { NULL, 0 };
	struct load_fault fault;
	struct load_args a = { .cmdline = c->cmdline, .name = c->name };
	int r;

	r = map_file(c->kernel, &kernel);
	if (!r && c->initrd)
		r = map_file(c->initrd, &initrd);
	if (r)
		goto out;
	m->rsdp = acpi_build(&m->mem, c->cpus, dsdt_aml, dsdt_aml_bytes);
	a.rsdp = m->rsdp;
	a.kernel = kernel.data;
	a.kernel_bytes = kernel.bytes;
	a.initrd = initrd.data;
	a.initrd_bytes = initrd.bytes;
	if (load_kernel(&m->mem, &a, &m->boot, &fault))
		r = msg_fail(EC_ERROR, fault.initrd ? c->initrd : c->kernel, fault.fix, "%s", fault.why);
out:
	unmap_file(&kernel);
	unmap_file(&initrd);
	return r;
}

/**
 * machine_dry_run() - print what would be run
 * @m: the machine, loaded
 *
 * Return: EC_OK or EC_ERROR.
 */
int machine_dry_run(struct machine *m)
{
	static const char *const serial[] = {
		[SERIAL_STDIO] = "stdio", [SERIAL_FILE] = "file", [SERIAL_NONE] = "none",
	};
	const struct run_config *c = m->cfg;
	const struct boot_info *b = &m->boot;
	json_t *j;
	char *text;

	j = json_pack("{s:s, s:s, s:s?, s:s, s:I, s:i, s:s, s:s?, s:[], s:f, s:{s:s, s:I, s:I, s:I, s:I, s:I, s:I}}",
		      "name", c->name, "kernel", c->kernel, "initrd", c->initrd,
		      "cmdline", c->cmdline, "memory", (json_int_t)c->memory, "cpus", (int)c->cpus,
		      "serial", serial[c->serial], "serial_path", c->serial_path, "devices",
		      "timeout", (double)c->timeout_ns / (double)NS_PER_SEC,
		      "boot", "protocol", boot_proto_name(b->proto), "entry", (json_int_t)b->entry,
		      "argument", (json_int_t)b->arg, "load_start", (json_int_t)b->load_start,
		      "load_end", (json_int_t)b->load_end, "initrd", (json_int_t)b->initrd,
		      "initrd_bytes", (json_int_t)b->initrd_bytes);
	if (j && c->testdev)
		json_array_append_new(json_object_get(j, "devices"), json_string("testdev"));
	text = j ? json_dumps(j, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;
	json_decref(j);
	/* A name that is no UTF-8 can't be told in JSON. */
	if (!text)
		return msg_fail(EC_ERROR, "--dry-run", "use UTF-8 in names and command line",
				"can't be written as JSON");
	puts(text);
	free(text);
	return EC_OK;
}
