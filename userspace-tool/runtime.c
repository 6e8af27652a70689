// SPDX-License-Identifier: GPL-2.0
/*
 * Where running guests are found: a directory with a socket for each.
 *
 * It is $XDG_RUNTIME_DIR/halo, or /run/halo where there is no such variable (of
 * root's, say); a guest is looked for in both. A socket to which nobody listens is
 * what a killed process left behind. Who makes or removes a socket holds the
 * directory's lock, so that nobody removes one that is just being made.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "msg.h"
#include "runtime.h"

#define SUFFIX		".sock"
#define LOCK_TRIES	200
#define BACKLOG		16

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '.';
}

/**
 * runtime_name_ok() - may a guest be called so
 * @name: the name
 *
 * Return: true for letters, digits, ".", "_" and "-", the first a letter or digit.
 */
bool runtime_name_ok(const char *name)
{
	size_t i;

	if (!*name || strchr("._-", *name))
		return false;
	for (i = 0; name[i]; i++) {
		if (i == GUEST_NAME_MAX || !name_char(name[i]))
			return false;
	}
	return true;
}

/**
 * runtime_make_name() - a name for a guest that was given none
 * @name: gets it, GUEST_NAME_MAX + 1 bytes
 * @from: what it is made of
 */
void runtime_make_name(char *name, const char *from)
{
	size_t i;

	/* Room is left for a number behind it. */
	for (i = 0; from[i] && i < GUEST_NAME_MAX - 4; i++)
		name[i] = name_char(from[i]) ? from[i] : '_';
	name[i] = 0;
	if (!i || strchr("._-", *name))
		*name = 'x';
	name[i ? i : 1] = 0;
}

/**
 * runtime_dirs() - where sockets are
 * @dir: gets the directories, the first is for new ones
 *
 * Return: how many.
 */
unsigned int runtime_dirs(char dir[RUNTIME_DIRS][RUNTIME_PATH])
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	unsigned int n = 0;

	if (xdg && *xdg == '/' &&
	    (size_t)snprintf(dir[0], RUNTIME_PATH, "%s/halo", xdg) < RUNTIME_PATH)
		n = 1;
	snprintf(dir[n++], RUNTIME_PATH, "/run/halo");
	return n;
}

/* The directory, locked; closing it unlocks. It must be ours alone to write. */
static int lock_dir(const char *dir)
{
	int i, fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), err = EAGAIN;
	struct timespec ms = { 0, 10000000 };
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || st.st_uid != geteuid() || st.st_mode & 022) {
		close(fd);
		return -EPERM;
	}
	for (i = 0; i < LOCK_TRIES; i++) {
		/* A kernel may have no file locks: then two may race. */
		if (!flock(fd, LOCK_EX | LOCK_NB) || errno == ENOSYS)
			return fd;
		err = errno;
		nanosleep(&ms, NULL);
	}
	close(fd);
	return -err;
}

static int address(struct sockaddr_un *a, const char *path)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(a->sun_path))
		return -ENAMETOOLONG;
	strcpy(a->sun_path, path);
	return 0;
}

/**
 * runtime_connect() - connect to a guest
 * @path: its socket
 *
 * Return: a descriptor that does not block; -ECONNREFUSED if nobody listens,
 * -EAGAIN if too many wait already, or another negative errno.
 */
int runtime_connect(const char *path)
{
	struct sockaddr_un a;
	int fd, r = address(&a, path);

	if (r)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* With the directory locked. Returns 1 if it was removed, 0 if nothing is there, else -1. */
static int remove_stale(const char *path)
{
	struct stat st;
	int fd;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode))
		return -1;
	fd = runtime_connect(path);
	if (fd >= 0)
		close(fd);
	return fd == -ECONNREFUSED && !unlink(path) ? 1 : -1;
}

static int listen_at(const char *path)
{
	struct sockaddr_un a;
	int r = address(&a, path), fd;

	if (r)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&a, sizeof(a))) {
		r = -errno;
		close(fd);
		return r;
	}
	/* Nobody can connect before listen(). */
	if (!chmod(path, 0600) && !listen(fd, BACKLOG))
		return fd;
	r = -errno;
	unlink(path);
	close(fd);
	return r;
}

/**
 * runtime_claim() - make a guest's socket
 * @dir: the directory, made if need be
 * @name: the guest's name
 * @path: gets the socket's path, RUNTIME_PATH bytes
 *
 * Return: a listening descriptor that does not block; -EADDRINUSE if a running guest
 * has the name, or another negative errno.
 */
int runtime_claim(const char *dir, const char *name, char *path)
{
	int lock, fd;

	if ((size_t)snprintf(path, RUNTIME_PATH, "%s/%s" SUFFIX, dir, name) >= RUNTIME_PATH)
		return -ENAMETOOLONG;
	if (mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	lock = lock_dir(dir);
	if (lock < 0)
		return lock;
	fd = remove_stale(path) >= 0 ? listen_at(path) : -EADDRINUSE;
	close(lock);
	return fd;
}

/**
 * runtime_release() - remove a guest's socket, as its guest ends
 * @path: the socket, still listened to
 */
void runtime_release(const char *path)
{
	unlink(path);
}

static bool split_name(char *name, const char *file)
{
	size_t len = strlen(file), tail = strlen(SUFFIX);

	if (len <= tail || len - tail > GUEST_NAME_MAX || strcmp(file + len - tail, SUFFIX))
		return false;
	memcpy(name, file, len - tail);
	name[len - tail] = 0;
	return runtime_name_ok(name);
}

static void clean_up(const char *dir, const char *path, const char *name)
{
	int lock = lock_dir(dir);

	if (lock < 0)
		return;
	if (remove_stale(path) == 1)
		msg_note(0, "%s: its process is gone, its socket was removed", name);
	close(lock);
}

/**
 * runtime_each() - look at all running guests
 * @fn: told of each: its name and a connection to it, -1 if it does not answer;
 *	owns the connection
 * @ctx: its first argument
 *
 * Sockets that nobody listens to are told of and removed.
 */
void runtime_each(void (*fn)(void *ctx, const char *name, int fd), void *ctx)
{
	char dir[RUNTIME_DIRS][RUNTIME_PATH], path[RUNTIME_PATH], name[GUEST_NAME_MAX + 1];
	unsigned int i, n = runtime_dirs(dir);

	for (i = 0; i < n; i++) {
		DIR *d = opendir(dir[i]);
		struct dirent *e;

		while (d && (e = readdir(d))) {
			int fd;

			if (!split_name(name, e->d_name) ||
			    (size_t)snprintf(path, sizeof(path), "%s/%s", dir[i], e->d_name) >= sizeof(path))
				continue;
			fd = runtime_connect(path);
			if (fd >= 0 || fd == -EAGAIN)
				fn(ctx, name, fd < 0 ? -1 : fd);
			else if (fd == -ECONNREFUSED)
				clean_up(dir[i], path, name);
		}
		if (d)
			closedir(d);
	}
}

/**
 * runtime_find() - connect to a guest by its name
 * @name: the name
 *
 * Return: a descriptor that does not block, or a negative errno: -ENOENT if there is
 * no such guest.
 */
int runtime_find(const char *name)
{
	char dir[RUNTIME_DIRS][RUNTIME_PATH], path[RUNTIME_PATH];
	unsigned int i, n = runtime_dirs(dir);
	int fd = -ENOENT, r;

	for (i = 0; i < n && fd < 0; i++) {
		if ((size_t)snprintf(path, sizeof(path), "%s/%s" SUFFIX, dir[i], name) >= sizeof(path))
			continue;
		r = runtime_connect(path);
		if (r == -ECONNREFUSED)
			clean_up(dir[i], path, name);
		else if (r != -ENOENT)
			fd = r;
	}
	return fd;
}
