// SPDX-License-Identifier: GPL-2.0
/*
 * How far the wall clock of a guest runs from its host's.
 *
 *	drift say GROUP		in the guest: MARKS marks, each followed by when it was made
 *	halo run ... | drift hear	on the host: passes everything on, and judges
 *
 * A mark takes some milliseconds through tty, serial port and pipe, and sometimes many
 * more; the quickest of a group tells how far the clocks are apart. What the two groups
 * say is compared, so that what every mark takes, and what the clocks are apart to begin
 * with, does not count. Ends with 1 for more than LIMIT parts in a million.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MARKS	60
#define LIMIT	100.0

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int say(const char *group)
{
	double at;
	int i;

	for (i = 0; i < MARKS; i++) {
		usleep(50000);
		at = now();
		if (write(1, "drift: !\n", 9) != 9)
			return 1;
		usleep(10000);
		printf("drift: %s %.6f\n", group, at);
		fflush(stdout);
	}
	return 0;
}

static struct {
	double apart, at;
	int marks;
} group[2];

static double marked;

static void line(const char *text)
{
	const char *mark = strstr(text, "drift: ");
	double at;
	int g;

	if (!mark)
		return;
	if (mark[7] == '!') {
		marked = now();
	} else if (sscanf(mark, "drift: %d %lf", &g, &at) == 2 && (g == 0 || g == 1) && marked) {
		if (!group[g].marks++ || marked - at < group[g].apart) {
			group[g].apart = marked - at;
			group[g].at = marked;
		}
		marked = 0;
	}
}

static int hear(void)
{
	static char text[4096];
	size_t n = 0;
	double ppm;
	char c;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (read(0, &c, 1) == 1) {
		putchar(c);
		if (c != '\n' && n < sizeof(text) - 1) {
			text[n++] = c;
			continue;
		}
		text[n] = 0;
		n = 0;
		line(text);
	}
	if (!group[0].marks || !group[1].marks) {
		puts("drift: no marks");
		return 1;
	}
	ppm = (group[0].apart - group[1].apart) / (group[1].at - group[0].at) * 1e6;
	printf("drift: %+.1f ppm over %.1f s; %.3f ms apart, then %.3f ms; %d and %d marks\n", ppm,
	       group[1].at - group[0].at, group[0].apart * 1e3, group[1].apart * 1e3,
	       group[0].marks, group[1].marks);
	return ppm > LIMIT || ppm < -LIMIT;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "say"))
		return say(argv[2]);
	if (argc == 2 && !strcmp(argv[1], "hear"))
		return hear();
	fputs("usage: drift say 0|1 | drift hear\n", stderr);
	return 2;
}
