/* SPDX-License-Identifier: Apache-2.0
 *
 * What the network tells a machine without an operating system, and what it answers: commands, the message that docs/formats.md calls
 * message to the device, obeyed as far as the guard grants and acknowledged by readings of a report; and the exchange with the guard,
 * POST /v1/guard of docs/guard.md.
 *
 * It promises that
 *   - a message is understood to the letter or refused whole, whatever its bytes are, and one that is refused changes nothing;
 *   - it is read as it arrives, byte by byte, and never kept whole;
 *   - nothing is done that the guard does not grant, nor longer than the command holds by the faster of two clocks.
 *
 * Nothing is kept through a restart: the machine begins in its safe state, and is told again. Start at struct lamppost_commands;
 * example_guard.c is a whole program.
 */
#ifndef LAMPPOST_COMMAND_H
#define LAMPPOST_COMMAND_H

#include "lamppost_guard.h"

#ifndef LAMPPOST_SETPOINTS
#define LAMPPOST_SETPOINTS 8 /* of a command; one with more is refused. The network's limit is 16 */
#endif

enum {
    LAMPPOST_DESIRED_BYTES = 4096, /* most in a message to the device */
    LAMPPOST_ACK_NAME_BYTES = 8 + LAMPPOST_ID_BYTES + 4,
    LAMPPOST_ACK_READINGS = 1 + 2 * LAMPPOST_SETPOINTS
};

/*
 * Reading.
 */

/* A reader of JSON (RFC 8259), as far as it is nested at most 8 deep. All of it is the library's. */
struct lamppost_json {
    int (*on)(struct lamppost_json *, int event);
    uint32_t bytes, most;
    uint8_t state, depth, arrays, is_key, hex, err, may_be_empty;
    uint16_t code;
    uint8_t key_n, text_n;
    char key[LAMPPOST_ID_BYTES + 2];
    char text[LAMPPOST_REQUEST_BYTES + 2];
};

/* What one function should be at: a level in percent, unit "%", or a value, mantissa * 10^exponent. */
struct lamppost_setpoint {
    char name[LAMPPOST_ID_BYTES + 1];
    char unit[LAMPPOST_UNIT_BYTES + 1];
    int8_t exponent;
    int64_t mantissa;
};

/* A message to the device. Without setpoints nothing is desired. */
struct lamppost_desired {
    uint64_t revision; /* 0: a gateway speaks for itself */
    int64_t until;     /* for people */
    int64_t left;      /* milliseconds; 0: none, or nothing ends by itself */
    uint8_t count;
    struct lamppost_setpoint set[LAMPPOST_SETPOINTS]; /* by name */
};

/* A message to the device on its way in: start, read what arrives, end; then desired is what it says. */
struct lamppost_message {
    struct lamppost_json json;
    struct lamppost_desired desired;
    uint8_t seen;
};

/* The answer to the guard's exchange on its way in: then requests are for lamppost_guard_hear. Charters in it are passed over. */
struct lamppost_answer {
    struct lamppost_json json;
    const char *network;
    uint8_t count;
    struct lamppost_request requests[LAMPPOST_REQUESTS];
    struct lamppost_request request;
    uint8_t in, seen, fields;
};

void lamppost_message_start(struct lamppost_message *m);

/* network is that of the guard: the answer of another is refused, LAMPPOST_OTHER. */
void lamppost_answer_start(struct lamppost_answer *a, const char *network);

/* Reads what has arrived of either; LAMPPOST_BAD_INPUT or LAMPPOST_TOO_LARGE, now and whenever asked again, if it cannot be understood or
 * kept. */
int lamppost_read(struct lamppost_json *j, const void *data, size_t n);

/* Says that all has arrived. Only after LAMPPOST_OK may it be used. */
int lamppost_read_end(struct lamppost_json *j);

/* Writes the guard's word, the body of POST /v1/guard, to out, which has room for size bytes, and its length to *n.
 * LAMPPOST_TOO_SMALL: *n says what is needed. */
int lamppost_guard_word(const struct lamppost_guard *g, char *out, size_t size, size_t *n);

/*
 * Obeying.
 */

/* Why the machine does otherwise than it is told; the numbers are part of the format. */
enum {
    LAMPPOST_AS_DESIRED,
    LAMPPOST_IS_LIFE,
    LAMPPOST_IS_MINIMUM,
    LAMPPOST_IS_UNASKED, /* essential: restricted by notice only */
    LAMPPOST_IS_ASKED,   /* a restriction that the guard grants allows no more */
    LAMPPOST_IS_UNKNOWN, /* no such function, or not in this unit */
    LAMPPOST_IS_STOPPED  /* commands are switched off at the machine */
};

/* What became of one setpoint. */
struct lamppost_grant {
    uint8_t granted; /* 0: nothing of it holds, the function is at its safe state */
    uint8_t why;
    int8_t exponent;
    int64_t mantissa;
};

/* A function that can be commanded. */
struct lamppost_commanded {
    const char *function; /* id */
    const char *unit;     /* "%": a level in percent */
};

/* How the machine stands to commands. The caller sets the first part, zeroes the rest, and may change stopped at any time. */
struct lamppost_commands {
    const struct lamppost_guard *guard;
    const struct lamppost_commanded *functions;
    uint8_t function_count;
    uint8_t stopped; /* 1: whoever is at the machine has switched commands off */

    uint8_t told, owed, count;
    uint64_t revision;
    int64_t mono, wall; /* when it was told */
    struct lamppost_desired desired;
    struct lamppost_grant grants[LAMPPOST_SETPOINTS]; /* of what is desired, as of the last step */
};

/* What is to be done after a step, added up. */
enum {
    LAMPPOST_APPLY = 1,      /* set the functions: another state holds */
    LAMPPOST_ACKNOWLEDGE = 2 /* report lamppost_commands_ack; until lamppost_commands_acknowledged */
};

/* Replaces what was told before. LAMPPOST_OLD: it came late, while a later one holds. */
int lamppost_commands_tell(struct lamppost_commands *c, const struct lamppost_desired *d, int64_t mono, int64_t wall);

/* Decides on all that is desired. Call it once a second, and after each word of the network, with the guard at the same time. */
int lamppost_commands_step(struct lamppost_commands *c, int64_t mono, int64_t wall);

/* What holds of a function; NULL: its safe state, which is what the machine does without any command. A level there is cut to what the guard
 * says, lamppost_guard_level, too. */
const struct lamppost_grant *lamppost_commands_of(const struct lamppost_commands *c, const char *function);

/* Readings that acknowledge, with the memory that they point into. */
struct lamppost_ack {
    size_t count;
    struct lamppost_reading readings[LAMPPOST_ACK_READINGS];
    char names[2 * LAMPPOST_SETPOINTS][LAMPPOST_ACK_NAME_BYTES + 1];
};

/* Writes them, with the time of the report. They may stand in a report beside others. */
void lamppost_commands_ack(const struct lamppost_commands *c, struct lamppost_ack *a, int64_t seconds, uint16_t ms);

/* Says that a report with them is where it will be sent from until it is committed. */
void lamppost_commands_acknowledged(struct lamppost_commands *c);

/* What of a setpoint the guard grants; lamppost_commands_step asks it. */
struct lamppost_grant lamppost_guard_command(const struct lamppost_guard *g, const struct lamppost_setpoint *want);

#endif
