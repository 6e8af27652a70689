// SPDX-License-Identifier: GPL-2.0
/*
 * Statistics fds: how to find them, and how to read what they say of themselves.
 *
 * The VMs of this user are found in /proc: a process that has one has an fd that says so.
 * A copy of it (pidfd_getfd(2)) gives its statistics fd, which is read once and closed, so
 * that looking at a VM keeps none alive. No service, no path to agree upon, and it finds
 * the VMs of any program. The kernel lets a user do so to whom it might debug.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "msg.h"
#include "stats.h"

/* More than a module with a thousand values needs. */
#define FILE_BYTES	(64 * 1024)

/**
 * stats_parse() - read what a statistics fd holds
 * @file: it, from its start
 * @bytes: its length
 * @out: gets all but @pid; free its @v
 *
 * Return: 0, or -1 if it contradicts itself or memory is short.
 */
int stats_parse(const void *file, size_t bytes, struct stat_sample *out)
{
	struct halo_stats_header h;
	struct halo_stats_desc d;
	const char *p = file, *vcpu;
	u32 i;

	if (bytes < sizeof(h))
		return -1;
	memcpy(&h, p, sizeof(h));
	if (h.size < sizeof(h) || h.desc_bytes < sizeof(d) || h.desc_offset > bytes ||
	    h.desc_count > (bytes - h.desc_offset) / h.desc_bytes ||
	    h.data_offset > bytes || h.data_bytes > bytes - h.data_offset ||
	    !memchr(h.id, 0, sizeof(h.id)) || !memchr(h.name, 0, sizeof(h.name)))
		return -1;
	memset(out, 0, sizeof(*out));
	out->v = calloc(h.desc_count + 1u, sizeof(*out->v));
	if (!out->v)
		return -1;
	out->vm = h.vm;
	memcpy(out->id, h.id, sizeof(out->id));
	memcpy(out->name, h.name, sizeof(out->name));
	vcpu = strstr(h.id, "/vcpu");
	out->vcpu = vcpu ? atol(vcpu + 5) : -1;
	for (i = 0; i < h.desc_count; i++) {
		struct stat_value *v = &out->v[i];

		memcpy(&d, p + h.desc_offset + (size_t)i * h.desc_bytes, sizeof(d));
		if (!memchr(d.name, 0, sizeof(d.name)) || h.data_bytes < sizeof(v->value) ||
		    d.offset > h.data_bytes - sizeof(v->value)) {
			free(out->v);
			out->v = NULL;
			return -1;
		}
		memcpy(v->name, d.name, sizeof(v->name));
		v->kind = d.kind;
		v->unit = d.unit;
		memcpy(&v->value, p + h.data_offset + d.offset, sizeof(v->value));
	}
	out->n = h.desc_count;
	return 0;
}

/**
 * stats_find() - a value by its name
 * @s: where
 * @name: which
 *
 * Return: it, or NULL if this module does not tell of it.
 */
const struct stat_value *stats_find(const struct stat_sample *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (!strcmp(s->v[i].name, name))
			return &s->v[i];
	return NULL;
}

/**
 * stats_match() - is this what somebody means
 * @s: a sample
 * @who: a process, an id as in "123-4", or a name
 */
bool stats_match(const struct stat_sample *s, const char *who)
{
	size_t len = strlen(who);
	char *end;
	long pid = strtol(who, &end, 10);

	if (isdigit((unsigned char)*who) && !*end && pid == s->pid)
		return true;
	return !strcmp(who, s->name) ||
	       (len && strchr(who, '-') && !strncmp(who, s->id, len) &&
		(!s->id[len] || s->id[len] == '/'));
}

static int by_place(const void *a, const void *b)
{
	const struct stat_sample *x = a, *y = b;

	if (x->vm != y->vm)
		return x->vm < y->vm ? -1 : 1;
	return x->vcpu < y->vcpu ? -1 : x->vcpu > y->vcpu;
}

/* @fd is a VM's or a vCPU's; one that is held twice is told of once. */
static int add(struct stat_list *l, int fd, bool vcpu, long pid)
{
	static char file[FILE_BYTES];
	struct stat_sample s, *more;
	int stats = ioctl(fd, vcpu ? HALO_VCPU_STATS_FD : HALO_VM_STATS_FD);
	ssize_t n;

	if (stats < 0)
		return 0;
	n = pread(stats, file, sizeof(file), 0);
	close(stats);
	if (n < 0 || stats_parse(file, (size_t)n, &s))
		return 0;
	s.pid = pid;
	if (stats_same(l, &s)) {
		free(s.v);
		return 0;
	}
	more = realloc(l->s, (l->n + 1) * sizeof(*more));
	if (!more) {
		free(s.v);
		return -1;
	}
	l->s = more;
	l->s[l->n++] = s;
	return 0;
}

static int look_into(struct stat_list *l, long pid)
{
	char path[300], to[64];
	int pidfd = -1, fd, r = 0;
	struct dirent *e;
	ssize_t n;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%ld/fd", pid);
	dir = opendir(path);
	if (!dir) {
		l->denied |= errno == EACCES || errno == EPERM;
		return 0;
	}
	while (!r && (e = readdir(dir))) {
		bool vcpu;

		snprintf(path, sizeof(path), "/proc/%ld/fd/%s", pid, e->d_name);
		n = readlink(path, to, sizeof(to) - 1);
		if (n < 0)
			continue;
		to[n] = 0;
		vcpu = !strcmp(to, "anon_inode:halo-vcpu");
		if (!vcpu && strcmp(to, "anon_inode:halo-vm"))
			continue;
		if (pidfd < 0)
			pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(e->d_name), 0);
		if (fd < 0) {
			l->denied |= errno == EPERM;
			continue;
		}
		r = add(l, fd, vcpu, pid);
		close(fd);
	}
	closedir(dir);
	if (pidfd >= 0)
		close(pidfd);
	return r;
}

/**
 * stats_collect() - the statistics of all VMs that this user may look at
 * @l: gets them; free with stats_free()
 *
 * Return: 0, or -1 if there is no /proc or no memory.
 */
int stats_collect(struct stat_list *l)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	int r = proc ? 0 : -1;

	memset(l, 0, sizeof(*l));
	while (!r && (e = readdir(proc)))
		if (isdigit((unsigned char)e->d_name[0]) && atol(e->d_name) != getpid())
			r = look_into(l, atol(e->d_name));
	if (proc)
		closedir(proc);
	if (l->n)
		qsort(l->s, l->n, sizeof(*l->s), by_place);
	return r;
}

/**
 * stats_same() - an earlier sample of the same VM or vCPU
 * @l: where to look
 * @s: the later one
 *
 * Return: it, or NULL.
 */
const struct stat_sample *stats_same(const struct stat_list *l, const struct stat_sample *s)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (l->s[i].vm == s->vm && l->s[i].vcpu == s->vcpu)
			return &l->s[i];
	return NULL;
}

/**
 * stats_free() - undo stats_collect()
 * @l: the list
 */
void stats_free(struct stat_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free(l->s[i].v);
	free(l->s);
	memset(l, 0, sizeof(*l));
}

/**
 * stats_module() - is there a module to look at
 * @verb: for the message
 *
 * Return: 0, or the exit code after the error was told.
 */
int stats_module(const char *verb)
{
	if (!access("/sys/module/halo", F_OK))
		return 0;
	return msg_fail(EC_DEVICE, verb, "load it with \"modprobe halo\" or \"insmod halo.ko\"",
			"the module is not loaded");
}
