// SPDX-License-Identifier: GPL-2.0
/*
 * The control socket of a running guest, in the main thread's event loop.
 *
 * Nothing here waits. A client has a fixed room for what it sends, and one reply at
 * a time: as long as it does not take that, it is not read from. When all places are
 * taken, whoever was silent longest goes. So a client can waste its own time only.
 * The socket is the owner's and root's: the directory, its mode and the peer's
 * credentials say so. Main thread, no locks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control.h"

static void hang_up(struct control_client *cl)
{
	if (cl->fd >= 0)
		close(cl->fd);
	free(cl->out);
	memset(cl, 0, sizeof(*cl));
	cl->fd = -1;
}

/**
 * control_init() - no socket yet
 * @c: the control
 * @epoll: the machine's epoll
 * @answer: answers commands
 * @ctx: its first argument
 */
void control_init(struct control *c, int epoll, json_t *(*answer)(void *ctx, enum proto_command c),
		  void *ctx)
{
	unsigned int i;

	memset(c, 0, sizeof(*c));
	c->listen = -1;
	c->epoll = epoll;
	c->answer = answer;
	c->ctx = ctx;
	for (i = 0; i < CONTROL_CLIENTS; i++)
		c->client[i].fd = -1;
}

/**
 * control_listen() - make the socket
 * @c: the control
 * @dir: directory of sockets
 * @name: the guest's name
 *
 * Return: 0, or a negative errno of runtime_claim().
 */
int control_listen(struct control *c, const char *dir, const char *name)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd = runtime_claim(dir, name, c->path);

	if (fd < 0)
		return fd;
	c->listen = fd;
	ev.data.fd = fd;
	if (!epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &ev))
		return 0;
	fd = -errno;
	control_close(c);
	return fd;
}

/**
 * control_close() - remove the socket, hang up on everybody
 * @c: the control
 */
void control_close(struct control *c)
{
	unsigned int i;

	for (i = 0; i < CONTROL_CLIENTS; i++)
		hang_up(&c->client[i]);
	if (c->listen < 0)
		return;
	runtime_release(c->path);
	close(c->listen);
	c->listen = -1;
}

static struct control_client *oldest(struct control *c)
{
	struct control_client *old = &c->client[0];
	unsigned int i;

	for (i = 0; i < CONTROL_CLIENTS; i++) {
		if (c->client[i].fd < 0)
			return &c->client[i];
		if (c->client[i].turn < old->turn)
			old = &c->client[i];
	}
	return old;
}

static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) &&
	       (!peer.uid || peer.uid == geteuid());
}

static void take_client(struct control *c)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct timespec pause = { 0, 10000000 };
	struct control_client *cl = oldest(c);
	int fd = accept4(c->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
			return;
		/* It goes on waiting, and would be told of again at once. */
		hang_up(cl);
		nanosleep(&pause, NULL);
		return;
	}
	ev.data.fd = fd;
	if (!may_ask(fd) || epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &ev)) {
		close(fd);
		return;
	}
	hang_up(cl);
	cl->fd = fd;
	cl->turn = ++c->turn;
}

/* Returns false if the client is gone. */
static bool flush(struct control_client *cl)
{
	while (cl->out_at < cl->out_len) {
		ssize_t n = send(cl->fd, cl->out + cl->out_at, cl->out_len - cl->out_at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		cl->out_at += (size_t)n;
	}
	free(cl->out);
	cl->out = NULL;
	cl->out_len = 0;
	cl->out_at = 0;
	return true;
}

static bool reply(struct control_client *cl, json_t *j)
{
	cl->out = proto_dump(j);
	cl->out_len = cl->out ? strlen(cl->out) : 0;
	return cl->out && flush(cl);
}

/* Answer what has come, until a reply is not taken. Returns false if the client is to go. */
static bool serve(struct control *c, struct control_client *cl)
{
	const char *line, *why;
	size_t len;
	int r = 0, cmd;

	while (!cl->out && (r = proto_next(&cl->in, &line, &len)) > 0) {
		cmd = proto_parse(line, len, &why);
		if (!reply(cl, cmd < 0 ? proto_error(why) : c->answer(c->ctx, (enum proto_command)cmd)))
			return false;
	}
	if (r >= 0)
		return true;
	reply(cl, proto_error("a line of more than 4096 bytes"));
	return false;
}

static bool hear(struct control *c, struct control_client *cl)
{
	size_t room;
	char *at = proto_room(&cl->in, &room);
	ssize_t n = recv(cl->fd, at, room, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (!n)
		return false;
	cl->in.len += (size_t)n;
	return serve(c, cl);
}

static void client_event(struct control *c, struct control_client *cl)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = cl->fd };
	bool waits = cl->out, stay;

	cl->turn = ++c->turn;
	if (waits)
		stay = flush(cl) && (cl->out || serve(c, cl));
	else
		stay = hear(c, cl);
	if (!stay) {
		hang_up(cl);
		return;
	}
	if (!waits == !cl->out)
		return;
	if (cl->out)
		ev.events = EPOLLOUT;
	if (epoll_ctl(c->epoll, EPOLL_CTL_MOD, cl->fd, &ev))
		hang_up(cl);
}

/**
 * control_event() - something happened to a descriptor
 * @c: the control
 * @fd: which
 *
 * Return: false if it is not one of these.
 */
bool control_event(struct control *c, int fd)
{
	unsigned int i;

	if (fd < 0)
		return false;
	if (fd == c->listen) {
		take_client(c);
		return true;
	}
	for (i = 0; i < CONTROL_CLIENTS; i++) {
		if (c->client[i].fd == fd) {
			client_event(c, &c->client[i]);
			return true;
		}
	}
	return false;
}
