/* SPDX-License-Identifier: Apache-2.0
 *
 * The guard of a machine without an operating system: the rule that no contract, bill or outage can override, docs/guard.md.
 * The same machine as package guard in Go, held against it step by step.
 *
 * It promises, whatever is asked, and whenever one of the machine's two clocks is wrong, the network is away or the power fails:
 *   - a life function runs at 100 percent, a public one at its minimum or above;
 *   - an essential one is restricted only after notice and grace have passed here in contact with the network, never below its
 *     minimum, and never while the network is away;
 *   - unlocking, and stopping to let go, are never refused;
 *   - what is kept and cannot be read restricts nothing.
 *
 * It allocates nothing, keeps nothing outside the caller's struct lamppost_guard, waits for nothing and knows no clock: the
 * caller says what time it is. Start at lamppost_guard_open, lamppost_guard_now and lamppost_guard_level; what the network says is
 * read by lamppost_command.h. Calls for one guard must not overlap.
 */
#ifndef LAMPPOST_GUARD_H
#define LAMPPOST_GUARD_H

#include "lamppost.h"

/* Limits, which set how much memory it takes. */
#ifndef LAMPPOST_FUNCTIONS
#define LAMPPOST_FUNCTIONS 4 /* of a charter; the network's limit is 32 */
#endif
#ifndef LAMPPOST_REQUESTS
#define LAMPPOST_REQUESTS 4 /* what is asked beyond is not granted; the network's limit is 16 */
#endif
#ifndef LAMPPOST_CHARTERS
#define LAMPPOST_CHARTERS 0 /* 0: the factory's is the only one. Otherwise 4, for what lamppost_guard_take takes */
#endif

/* How often what waits is kept, in milliseconds: a power loss takes as much from notice and grace, to nobody's harm. An hour is 12 writes
 * a day to each of two slots, while something is asked. */
#ifndef LAMPPOST_KEEP_EVERY
#define LAMPPOST_KEEP_EVERY INT64_C(3600000)
#endif

/* How long the network is taken to be there after it was heard of. Only tests have another. */
#ifndef LAMPPOST_SILENCE
#define LAMPPOST_SILENCE INT64_C(900000)
#endif

#define LAMPPOST_HOUR INT64_C(3600000)

enum {
    LAMPPOST_REQUEST_BYTES = 72, /* most in the id of a request */
    LAMPPOST_KEY_BYTES = 33,
    LAMPPOST_HELD = LAMPPOST_CHARTERS > 0 ? LAMPPOST_CHARTERS : 1,
    LAMPPOST_CHARTER_KEPT = 7 + 2 * (LAMPPOST_KEY_BYTES + 2) + LAMPPOST_FUNCTIONS * (LAMPPOST_ID_BYTES + 19),
    LAMPPOST_REQUEST_KEPT = LAMPPOST_REQUEST_BYTES + LAMPPOST_ID_BYTES + 19,
    /* A slot of the guard. */
    LAMPPOST_KEPT_BYTES = 32 + LAMPPOST_HELD * 9 + LAMPPOST_CHARTERS * LAMPPOST_CHARTER_KEPT + LAMPPOST_REQUESTS * LAMPPOST_REQUEST_KEPT
};

/* What functions return, beside what lamppost.h lists. */
enum {
    LAMPPOST_DAMAGED = 16, /* what was kept cannot be read: nothing is restricted until lamppost_guard_begin */
    LAMPPOST_NOT_SIGNED,   /* the charter is not signed by the owner */
    LAMPPOST_NOT_AGREED,   /* it protects less, and the second party did not sign it */
    LAMPPOST_OLD,          /* a charter or command that comes after a later one */
    LAMPPOST_FULL          /* no room for another charter: wait until the notice of the others is over */
};

/* Safety classes. */
enum { LAMPPOST_ESSENTIAL, LAMPPOST_LIFE, LAMPPOST_PUBLIC, LAMPPOST_ORDINARY };

/* Something the device does for people. How much of it is done is its level, 0 to 100 percent. */
struct lamppost_function {
    char name[LAMPPOST_ID_BYTES + 1]; /* id */
    uint8_t class;
    uint8_t min;    /* percent; of a public or an essential one */
    int64_t notice; /* milliseconds, of an essential one and only of it: 7 * 24 to 366 * 24 hours */
    int64_t grace;  /* likewise: 72 to 366 * 24 hours */
};

/* Who signs charters. */
struct lamppost_key {
    int8_t suite; /* of COSE: -8 Ed25519, -7 ES256; 0: nobody */
    uint8_t bytes;
    uint8_t key[LAMPPOST_KEY_BYTES];
};

/* Which function is what. One that it does not name is essential. */
struct lamppost_charter {
    uint32_t number; /* from 1 */
    uint8_t count;   /* of functions, from 1 */
    struct lamppost_key owner, second;
    struct lamppost_function functions[LAMPPOST_FUNCTIONS];
};

/* A charter that counts. */
struct lamppost_held {
    const struct lamppost_charter *charter;
    int64_t known; /* milliseconds for which it has been known here */
};

/* A restriction that the ledger asks for. */
struct lamppost_request {
    char id[LAMPPOST_REQUEST_BYTES + 1];
    char function[LAMPPOST_ID_BYTES + 1];
    uint8_t level; /* percent */
    int64_t left;  /* milliseconds until it ends by itself */
    int64_t known; /* for which it has been known here */
};

/* Where the guard is kept. Both return 0 if they succeeded; the contract is that of struct lamppost_port. */
struct lamppost_guard_port {
    void *ctx;
    int (*read)(void *ctx, unsigned slot, uint8_t *data, size_t n);        /* n is LAMPPOST_KEPT_BYTES */
    int (*write)(void *ctx, unsigned slot, const uint8_t *data, size_t n); /* at most so many; what stands after them does not matter */
};

/* A guard. The caller sets the first part, which must stay unchanged; the rest is the library's. */
struct lamppost_guard {
    const char *network;                    /* id */
    const char *device;                     /* id */
    const struct lamppost_charter *factory; /* or NULL: then all it does has the class below */
    uint8_t class;                          /* as enrolled */
    struct lamppost_guard_port port;

    uint8_t request_count, held_count;
    uint8_t failed;  /* the slots do not keep what is written: nothing is restricted */
    uint8_t damaged; /* nor known which charter counts: all is life */
    uint32_t generation;
    int64_t silent; /* since the network was heard of, at least */
    int64_t mono, wall, saved;
    struct lamppost_held held[LAMPPOST_HELD]; /* by number */
    struct lamppost_request requests[LAMPPOST_REQUESTS]; /* by id */
#if LAMPPOST_CHARTERS > 0
    struct lamppost_charter store[LAMPPOST_CHARTERS];
#endif
    uint8_t kept[LAMPPOST_KEPT_BYTES];
};

/* Why a function runs above what is asked of it, or may be set no lower. */
enum {
    LAMPPOST_GRANTED,
    LAMPPOST_BY_LIFE,    /* it is never restricted */
    LAMPPOST_BY_MINIMUM, /* not below its minimum */
    LAMPPOST_BY_OFFLINE, /* the network is away */
    LAMPPOST_BY_NOTICE,  /* its notice is not over */
    LAMPPOST_BY_GRACE,   /* its grace is not over */
    LAMPPOST_BY_END,     /* the request is over */
    LAMPPOST_BY_NOBODY   /* nothing asks for it, and without notice nobody may */
};

/* At which level a function runs, and why. */
struct lamppost_decision {
    uint8_t class;
    uint8_t level; /* percent */
    uint8_t why;
    int64_t after; /* milliseconds of contact still to pass before it can be restricted */
    const struct lamppost_request *request; /* that it answers; NULL: nothing is asked */
};

/* What somebody at the device wants. */
enum {
    LAMPPOST_USE,    /* begin to use a function, such as a lock's way in from outside */
    LAMPPOST_UNLOCK, /* let out whoever or whatever is inside */
    LAMPPOST_RELEASE /* stop, so that whoever or whatever is held comes free */
};

/* Continues after a start, or begins where both slots are blank. mono and wall are as for lamppost_guard_now. LAMPPOST_DAMAGED: nothing
 * is restricted. A guard whose charter is the factory's loses nothing by lamppost_guard_begin then but notice that was counted; one that
 * has taken charters would forget them, so somebody must look at it. */
int lamppost_guard_open(struct lamppost_guard *g, int64_t mono, int64_t wall);

/* Begins anew, over whatever is in the slots. */
int lamppost_guard_begin(struct lamppost_guard *g, int64_t mono, int64_t wall);

/* Says what time it is: call it once a minute or more often, and before what is to be decided. mono is milliseconds since the start, wall
 * those of the clock of days, since 1970. Of two clocks the slower counts for notice and the faster for silence, so that one that
 * lies harms nobody: a machine that has one only gives it for both and does without that, one whose clock of days is not set gives 0 for
 * wall, and then no notice ever ends. LAMPPOST_STORAGE: the state could not be kept, so nothing is restricted any more. */
int lamppost_guard_now(struct lamppost_guard *g, int64_t mono, int64_t wall);

/* Takes in all that the network asks for just now; what it does not ask for is over. The list is sorted in place. */
int lamppost_guard_hear(struct lamppost_guard *g, struct lamppost_request *asked, size_t n);

/* Decides at which level a function runs now: the lowest that any request comes to. */
struct lamppost_decision lamppost_guard_level(const struct lamppost_guard *g, const char *function);

/* The lowest level that anybody on site may set a function to now. */
struct lamppost_decision lamppost_guard_least(const struct lamppost_guard *g, const char *function);

/* Whether somebody at the device may do what he wants: 1 or 0. Nothing ever stands against the last two of the list above. */
int lamppost_guard_may(const struct lamppost_guard *g, int action, const char *function);

/* Whether the network was heard of lately. */
int lamppost_guard_online(const struct lamppost_guard *g);

/* The number of the latest charter; 0: none. */
uint32_t lamppost_guard_charter(const struct lamppost_guard *g);

/* Takes a charter over the latest one, in a program with LAMPPOST_CHARTERS. is_signed is whether the owner whom the latest names signed it
 * (of a first one, its own), agreed whether the second party whom the latest names did: the caller checks the signatures and that the
 * charter is of this device. */
int lamppost_guard_take(struct lamppost_guard *g, const struct lamppost_charter *c, int is_signed, int agreed);

/* The steps of which the above are made, for tests. Each returns 1 if the state must be kept before anything follows. */
int lamppost_guard_tick(struct lamppost_guard *g, int64_t mono, int64_t wall);
int lamppost_guard_contact(struct lamppost_guard *g, struct lamppost_request *asked, size_t n);
int lamppost_guard_keep(struct lamppost_guard *g);

#endif
