/* SPDX-License-Identifier: GPL-2.0 */
/* Threads of tests that run in the kernel: kthreads, made by runner.c. */
#ifndef HALO_SHIM_PTHREAD_H
#define HALO_SHIM_PTHREAD_H

#include <linux/rwsem.h>
#include "sched.h"

typedef struct halo_thread *pthread_t;

int pthread_create(pthread_t *thread, const void *attr, void *(*fn)(void *arg), void *arg);
int pthread_join(pthread_t thread, void **result);

typedef struct rw_semaphore pthread_rwlock_t;

#define pthread_rwlock_init(l, attr)	init_rwsem(l)
#define pthread_rwlock_destroy(l)	((void)(l))
#define pthread_rwlock_rdlock(l)	down_read(l)
#define pthread_rwlock_wrlock(l)	down_write(l)
/* Whichever it was; the writer's lock is known by its owner. */
#define pthread_rwlock_unlock(l)	halo_shim_rwlock_unlock(l)

void halo_shim_rwlock_unlock(struct rw_semaphore *l);

#endif /* HALO_SHIM_PTHREAD_H */
