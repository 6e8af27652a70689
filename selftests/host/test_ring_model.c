// SPDX-License-Identifier: GPL-2.0
/* sources: */
/*
 * A small model of the ring protocol, explored to the end: every interleaving of the
 * vCPU, its server and the timer that tells of posted exits, on a machine with store
 * buffers (x86-TSO): a store is seen by others only when it leaves the buffer, and a full
 * barrier waits until it is empty.
 *
 * The vCPU pushes exits, each one, each second one or fewer than fill the ring being SYNC,
 * the others POSTED; the server takes them, answers the SYNC
 * ones, and sleeps when there is nothing. Both sleep as the design says: flag, barrier,
 * look again, sleep; and wake: index, barrier, flag, wake. What is asked of each state:
 *
 *  - the server reads exit n where it expects exit n, and so does the vCPU its reply;
 *  - nobody sleeps while there is something for it to do and nobody left to wake it.
 *
 * Rings of 2 to 4 entries, so many exits that each side wraps around. Then one mistake at
 * a time is planted, and the explorer must find it.
 *
 * One step is one access to memory that another sees. The names of the steps are those of
 * module/ring.c, serve.c and bus.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum plant {
	NOTHING,
	VCPU_SLEEPS_WITHOUT_BARRIER,
	VCPU_SLEEPS_WITHOUT_A_SECOND_LOOK,
	SERVER_SLEEPS_WITHOUT_BARRIER,
	SERVER_SLEEPS_WITHOUT_A_SECOND_LOOK,
	SERVER_WAKES_WITHOUT_BARRIER,
	SERVER_TELLS_OF_REPLIES_ONLY,
	TAIL_BEFORE_ENTRY,
	REPLY_TAIL_BEFORE_ENTRY,
	ONE_MORE_THAN_FULL,
	HEAD_BEFORE_ENTRY_IS_READ,
	ANNOUNCED_WITHOUT_BARRIER,
	TIMER_OFF_AFTER_ITS_LOOK,
	PLANTS
};

static const char *const plant_name[PLANTS] = {
	"nothing", "the vCPU sleeps without a barrier", "the vCPU sleeps without a second look",
	"the server sleeps without a barrier", "the server sleeps without a second look",
	"the server wakes without a barrier", "the server tells of replies only",
	"tail before entry", "reply's tail before entry", "one more than full",
	"head before the entry is read", "announced without a barrier",
	"the timer is off after its look",
};

#define MOST	4	/* entries */
#define DEPTH	4	/* of a store buffer */

/* Shared memory. */
enum var {
	EXIT_TAIL, EXITS_FLAG, REPLY_TAIL, REPLIES_HEAD, REPLIES_FLAG, ARMED,
	EXIT0, REPLY0 = EXIT0 + MOST, VARS = REPLY0 + MOST
};

enum who { VCPU, SERVER, TIMER, PEERS };

struct peer {
	uint8_t pc;
	uint8_t n;		/* stores in the buffer */
	uint8_t var[DEPTH], val[DEPTH];
};

/* No padding that differs: states are compared as bytes. */
struct state {
	uint8_t mem[VARS];
	struct peer p[PEERS];
	uint8_t pushed, taken, answered, awaited;	/* private: up to which number */
	uint8_t got_replies;
	uint8_t vcpu_woken, server_woken;	/* wake-ups that came since it began to go to sleep */
	uint8_t timer_due;
};

static struct {
	enum plant plant;
	unsigned int entries, exits, period;
	struct state *seen;
	size_t room, count;
	const char *bad;
} x;

static uint64_t hash(const struct state *s)
{
	const uint8_t *b = (const uint8_t *)s;
	uint64_t h = 0xcbf29ce484222325ull;
	size_t i;

	for (i = 0; i < sizeof(*s); i++)
		h = (h ^ b[i]) * 0x100000001b3ull;
	return h ^ h >> 29;
}

/* All zeroes is an empty place: no state is, as its vCPU's PC begins with 1. */
static bool add(const struct state *s)
{
	static const struct state empty;
	size_t i = hash(s) & (x.room - 1);

	for (; memcmp(&x.seen[i], &empty, sizeof(empty)); i = (i + 1) & (x.room - 1))
		if (!memcmp(&x.seen[i], s, sizeof(*s)))
			return false;
	assert_true(++x.count < x.room - x.room / 4);
	x.seen[i] = *s;
	return true;
}

static uint8_t load(const struct state *s, enum who w, enum var v)
{
	const struct peer *p = &s->p[w];
	int i;

	for (i = p->n; i-- > 0; )
		if (p->var[i] == v)
			return p->val[i];
	return s->mem[v];
}

static bool store(struct state *s, enum who w, enum var v, uint8_t val)
{
	struct peer *p = &s->p[w];

	if (p->n == DEPTH)
		return false;
	p->var[p->n] = v;
	p->val[p->n++] = val;
	return true;
}

static void drain(struct state *s, enum who w)
{
	struct peer *p = &s->p[w];

	s->mem[p->var[0]] = p->val[0];
	p->n--;
	memmove(p->var, p->var + 1, p->n);
	memmove(p->val, p->val + 1, p->n);
	p->var[p->n] = p->val[p->n] = 0;
}

static bool barrier(const struct state *s, enum who w)
{
	return !s->p[w].n;
}

static bool is_sync(uint8_t n)
{
	return n % x.period == 0;
}

static void violation(const char *what)
{
	if (!x.bad)
		x.bad = what;
}

/* ---- the vCPU: halo_ring_push(), halo_announce(), halo_park(), halo_ring_pop_reply() ---- */

enum {
	V_ROOM = 1, V_ENTRY, V_TAIL, V_BARRIER, V_ANNOUNCE, V_TELL, V_PARK, V_FLAG, V_FLAG_BARRIER,
	V_LOOK, V_SLEEP, V_FLAG_OFF, V_REPLY, V_END
};

static bool vcpu_over(const struct state *s)
{
	return load(s, VCPU, REPLY_TAIL) != s->got_replies;
}

static bool vcpu_room(const struct state *s)
{
	unsigned int used = (uint8_t)(s->pushed - load(s, VCPU, REPLIES_HEAD));

	return x.plant == ONE_MORE_THAN_FULL ? used <= x.entries : used < x.entries;
}

/* What it waits for: room, or the reply to the exit it pushed. */
static bool vcpu_served(const struct state *s)
{
	return s->awaited ? vcpu_over(s) : vcpu_room(s);
}

static bool vcpu_step(struct state *s)
{
	uint8_t *pc = &s->p[VCPU].pc, n = s->pushed + 1;
	bool late = x.plant == TAIL_BEFORE_ENTRY;

	switch (*pc) {
	case V_ROOM:
		*pc = s->pushed == x.exits ? V_END : vcpu_room(s) ? V_ENTRY : V_PARK;
		return true;
	case V_ENTRY:
	case V_TAIL:
		if ((*pc == V_ENTRY) != late) {
			if (!store(s, VCPU, EXIT0 + s->pushed % x.entries, n))
				return false;
		} else if (!store(s, VCPU, EXIT_TAIL, n)) {
			return false;
		}
		if ((*pc)++ == V_TAIL) {
			s->pushed = n;
			s->awaited = is_sync(n) ? n : 0;
		}
		return true;
	case V_BARRIER:
		if (!barrier(s, VCPU) && !(x.plant == ANNOUNCED_WITHOUT_BARRIER && !s->awaited))
			return false;
		*pc = s->awaited ? V_TELL : V_ANNOUNCE;
		return true;
	case V_ANNOUNCE:	/* posted: the timer tells, if it is on */
		*pc = V_ROOM;
		if (!load(s, VCPU, ARMED)) {
			s->mem[ARMED] = 1;
			s->timer_due = 1;
		}
		return true;
	case V_TELL:		/* SYNC: now */
		if (load(s, VCPU, REPLIES_FLAG))
			s->server_woken = 1;
		*pc = V_FLAG;
		return true;
	case V_PARK:		/* full: also now */
		if (!barrier(s, VCPU))
			return false;
		*pc = V_TELL;
		return true;
	case V_FLAG:
		s->vcpu_woken = 0;
		*pc = V_FLAG_BARRIER;
		return store(s, VCPU, EXITS_FLAG, 1);
	case V_FLAG_BARRIER:
		if (!barrier(s, VCPU) && x.plant != VCPU_SLEEPS_WITHOUT_BARRIER)
			return false;
		*pc = x.plant == VCPU_SLEEPS_WITHOUT_A_SECOND_LOOK ? V_SLEEP : V_LOOK;
		return true;
	case V_LOOK:
		*pc = vcpu_served(s) ? V_FLAG_OFF : V_SLEEP;
		return true;
	case V_SLEEP:
		if (!s->vcpu_woken)
			return false;
		*pc = V_FLAG;
		if (x.plant == VCPU_SLEEPS_WITHOUT_A_SECOND_LOOK && vcpu_served(s))
			*pc = V_FLAG_OFF;
		return true;
	case V_FLAG_OFF:
		*pc = s->awaited ? V_REPLY : V_ROOM;
		return store(s, VCPU, EXITS_FLAG, 0);
	case V_REPLY:
		if (load(s, VCPU, REPLY0 + s->got_replies % x.entries) != s->awaited)
			violation("the vCPU reads a reply that is not its exit's");
		s->got_replies++;
		s->awaited = 0;
		*pc = V_ROOM;
		return true;
	default:
		return false;
	}
}

/* ---- the server: what the user interface asks of it ---- */

enum {
	S_LOOK, S_FLAG, S_FLAG_BARRIER, S_LOOK_AGAIN, S_SLEEP, S_FLAG_OFF, S_READ, S_HEAD,
	S_HEAD_BARRIER, S_HEAD_BELL, S_REPLY, S_REPLY_TAIL, S_REPLY_BARRIER, S_REPLY_BELL
};

static bool server_something(const struct state *s)
{
	return load(s, SERVER, EXIT_TAIL) != s->taken;
}

static bool server_step(struct state *s)
{
	uint8_t *pc = &s->p[SERVER].pc;
	bool early = x.plant == HEAD_BEFORE_ENTRY_IS_READ;
	bool late = x.plant == REPLY_TAIL_BEFORE_ENTRY;

	switch (*pc) {
	case S_LOOK:
		if (s->taken == x.exits)
			return false;
		*pc = server_something(s) ? S_READ : S_FLAG;
		return true;
	case S_FLAG:
		s->server_woken = 0;
		*pc = S_FLAG_BARRIER;
		return store(s, SERVER, REPLIES_FLAG, 1);
	case S_FLAG_BARRIER:
		if (!barrier(s, SERVER) && x.plant != SERVER_SLEEPS_WITHOUT_BARRIER)
			return false;
		*pc = x.plant == SERVER_SLEEPS_WITHOUT_A_SECOND_LOOK ? S_SLEEP : S_LOOK_AGAIN;
		return true;
	case S_LOOK_AGAIN:
		*pc = server_something(s) ? S_FLAG_OFF : S_SLEEP;
		return true;
	case S_SLEEP:
		if (!s->server_woken)
			return false;
		*pc = S_FLAG_OFF;
		return true;
	case S_FLAG_OFF:
		*pc = S_LOOK;
		return store(s, SERVER, REPLIES_FLAG, 0);
	case S_READ:
	case S_HEAD:
		if ((*pc == S_READ) != early) {
			uint8_t n = early ? s->taken : s->taken + 1;

			if (load(s, SERVER, EXIT0 + (n - 1) % x.entries) != n)
				violation("the server reads another exit than it expects");
		} else if (!store(s, SERVER, REPLIES_HEAD, s->taken + 1)) {
			return false;
		}
		if (*pc == (early ? S_READ : S_HEAD))
			s->taken++;
		(*pc)++;
		return true;
	case S_HEAD_BARRIER:
	case S_REPLY_BARRIER:
		if (!barrier(s, SERVER) && x.plant != SERVER_WAKES_WITHOUT_BARRIER)
			return false;
		(*pc)++;
		return true;
	case S_HEAD_BELL:
	case S_REPLY_BELL:
		if (load(s, SERVER, EXITS_FLAG) &&
		    !(*pc == S_HEAD_BELL && x.plant == SERVER_TELLS_OF_REPLIES_ONLY))
			s->vcpu_woken = 1;
		*pc = *pc == S_HEAD_BELL && is_sync(s->taken) ? S_REPLY : S_LOOK;
		return true;
	case S_REPLY:
	case S_REPLY_TAIL:
		if ((*pc == S_REPLY) != late) {
			if (!store(s, SERVER, REPLY0 + s->answered % x.entries, s->taken))
				return false;
		} else if (!store(s, SERVER, REPLY_TAIL, s->answered + 1)) {
			return false;
		}
		if ((*pc)++ == S_REPLY_TAIL)
			s->answered++;
		return true;
	default:
		return false;
	}
}

/* ---- the timer: halo_announce_due() ---- */

enum { T_OFF, T_BARRIER, T_LOOK };

static bool timer_step(struct state *s)
{
	uint8_t *pc = &s->p[TIMER].pc;
	bool late = x.plant == TIMER_OFF_AFTER_ITS_LOOK;

	switch (*pc) {
	case T_OFF:
		if (!s->timer_due)
			return false;
		s->timer_due = 0;
		*pc = T_BARRIER;
		return late || store(s, TIMER, ARMED, 0);
	case T_BARRIER:
		if (!barrier(s, TIMER))
			return false;
		*pc = T_LOOK;
		return true;
	default:
		if (load(s, TIMER, EXIT_TAIL) != load(s, TIMER, REPLIES_HEAD) &&
		    load(s, TIMER, REPLIES_FLAG))
			s->server_woken = 1;
		*pc = T_OFF;
		return !late || store(s, TIMER, ARMED, 0);
	}
}

static bool step(struct state *s, enum who w)
{
	return w == VCPU ? vcpu_step(s) : w == SERVER ? server_step(s) : timer_step(s);
}

static void explore(void)
{
	struct state *stack = malloc(sizeof(*stack) * x.room);
	size_t top = 0;

	memset(&stack[0], 0, sizeof(stack[0]));
	stack[0].p[VCPU].pc = V_ROOM;
	add(&stack[top++]);
	while (top && !x.bad) {
		struct state s = stack[--top], next;
		bool stuck = true;
		unsigned int w;

		for (w = 0; w < PEERS; w++) {
			next = s;
			if (step(&next, w)) {
				stuck = false;
				if (add(&next))
					stack[top++] = next;
			}
			if (!s.p[w].n)
				continue;
			next = s;
			drain(&next, w);
			stuck = false;
			if (add(&next))
				stack[top++] = next;
		}
		if (stuck && (s.p[VCPU].pc != V_END || s.taken != x.exits))
			violation("everybody sleeps, and there is work");
	}
	free(stack);
}

static const char *run(enum plant plant, unsigned int entries, unsigned int period)
{
	x.plant = plant;
	x.entries = entries;
	x.exits = entries + 3;
	x.period = period;
	x.count = 0;
	x.bad = NULL;
	x.room = 1 << 20;
	x.seen = calloc(x.room, sizeof(*x.seen));
	assert_non_null(x.seen);
	explore();
	free(x.seen);
	return x.bad;
}

static void the_protocol_holds(void **state)
{
	unsigned int entries, i;

	for (entries = 2; entries <= MOST; entries++) {
		const unsigned int period[] = { 1, 2, entries + 2 };

		for (i = 0; i < 3; i++) {
			const char *bad = run(NOTHING, entries, period[i]);

			print_message("# %u entries, %u exits, 1 of %u SYNC: %zu states%s%s\n", entries,
				      x.exits, period[i], x.count, bad ? ": " : "", bad ? bad : "");
			assert_null(bad);
		}
	}
}

/* Each in the smallest ring that shows it. */
static void each_planted_mistake_is_found(void **state)
{
	unsigned int plant, entries, i, found = 0;

	for (plant = NOTHING + 1; plant < PLANTS; plant++) {
		const char *bad = NULL;

		for (entries = 2; entries <= MOST && !bad; entries++) {
			const unsigned int period[] = { 2, entries + 2 };

			for (i = 0; i < 2 && !bad; i++)
				bad = run(plant, entries, period[i]);
		}
		print_message("# %s: %s (%u entries, 1 of %u SYNC, %zu states)\n",
			      plant_name[plant], bad ? bad : "NOT FOUND", x.entries, x.period,
			      x.count);
		found += !!bad;
	}
	assert_int_equal(found, PLANTS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_protocol_holds),
		cmocka_unit_test(each_planted_mistake_is_found),
	};

	return cmocka_run_group_tests_name("ring_model", tests, NULL, NULL);
}
