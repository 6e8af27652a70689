/* SPDX-License-Identifier: GPL-2.0 */
#ifndef HALO_TOOL_CTL_H
#define HALO_TOOL_CTL_H

#include <jansson.h>

#include "opts.h"

#define CTL_ANSWER_NS	(5 * NS_PER_SEC)

/* ctl.c */
int ctl(const char *verb, const struct ctl_config *c);
int ctl_connect(const char *name);
json_t *ctl_ask(int fd, const char *command, u64 timeout_ns);

/* top.c */
int top(const struct ctl_config *c);

#endif /* HALO_TOOL_CTL_H */
