// SPDX-License-Identifier: GPL-2.0
/*
 * locks THREADS TURNS: in the guest: threads of one process that do little but hold, or wait
 * for, a spinlock of the kernel. Prints the seconds until all are done.
 *
 * getrusage(), up to 6.7, adds up all threads of the process under the one lock of its signal
 * handlers; a hundred of them that sleep make that long. So it is one at a time, and
 * while the vCPU of that one has lost its CPU, the others can only wait.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MOST	64
#define SLEEPERS	100

static pthread_barrier_t start;
static long turns;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void *work(void *arg)
{
	struct rusage usage;
	long i;

	(void)arg;
	pthread_barrier_wait(&start);
	for (i = 0; i < turns; i++)
		if (getrusage(RUSAGE_SELF, &usage))
			abort();
	return NULL;
}

static void *doze(void *arg)
{
	for (;;)
		pause();
	return arg;
}

int main(int argc, char **argv)
{
	unsigned int i, n = argc == 3 ? (unsigned int)atoi(argv[1]) : 0;
	pthread_t thread[MOST], sleeper;
	double begin;

	turns = argc == 3 ? atol(argv[2]) : 0;
	if (n < 1 || n > MOST || turns < 1) {
		fprintf(stderr, "usage: locks THREADS TURNS\n");
		return 2;
	}
	pthread_barrier_init(&start, NULL, n + 1);
	for (i = 0; i < SLEEPERS; i++)
		if (pthread_create(&sleeper, NULL, doze, NULL))
			return 1;
	for (i = 0; i < n; i++)
		if (pthread_create(&thread[i], NULL, work, NULL))
			return 1;
	pthread_barrier_wait(&start);
	begin = now();
	for (i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	printf("%.6f\n", now() - begin);
	return 0;
}
