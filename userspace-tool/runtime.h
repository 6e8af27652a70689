/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_RUNTIME_H
#define HALO_TOOL_RUNTIME_H

#include <sys/un.h>

#include "types.h"

#define GUEST_NAME_MAX	48
#define RUNTIME_DIRS	2
#define RUNTIME_PATH	sizeof(((struct sockaddr_un *)0)->sun_path)

bool runtime_name_ok(const char *name);
void runtime_make_name(char *name, const char *from);
unsigned int runtime_dirs(char dir[RUNTIME_DIRS][RUNTIME_PATH]);
int runtime_claim(const char *dir, const char *name, char *path);
void runtime_release(const char *path);
int runtime_connect(const char *path);
int runtime_find(const char *name);
void runtime_each(void (*fn)(void *ctx, const char *name, int fd), void *ctx);

#endif /* HALO_TOOL_RUNTIME_H */
