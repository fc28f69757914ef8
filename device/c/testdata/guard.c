/* SPDX-License-Identifier: Apache-2.0
 *
 * Lets a test in another language drive lamppost_guard.c and lamppost_command.c over stdin and stdout, with two slots in memory. A line of
 * input is a verb with its words; verbs that ask get a line of output. guard/c_test.go and c_test.go show them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lamppost_command.h"

int64_t test_silence = INT64_C(900000); /* LAMPPOST_SILENCE of this build */

enum { LONG = 1 << 17 };

/* All that is in the machine, to be put aside and taken back. */
static struct world {
    struct lamppost_guard g;
    struct lamppost_commands c;
    uint8_t slots[2][LAMPPOST_KEPT_BYTES];
    int64_t kept_wall;
    int broken;   /* 1: writes fail, 2: so do reads */
    long writes, cut_at;  /* the write, counted from 0, that the power goes in */
    char cut_how[16];
} w, aside;

static const struct lamppost_commanded functions[] = {{"level", "%"}, {"power", "W"}, {"heat", "%"}, {"door", "%"}};

static void want(int got, int wanted) {
    if (got != wanted) fprintf(stderr, "guard: cannot read the line\n"), exit(2);
}

static const char *read_word(void) {
    static char word[LONG];
    want(scanf("%131071s", word), 1);
    return word;
}

static void read_text(char *to, size_t size) {
    const char *word = read_word();
    if (strlen(word) >= size) fprintf(stderr, "guard: %s is too long\n", word), exit(2);
    strcpy(to, word);
}

static int64_t read_number(void) {
    int64_t v;
    want(scanf("%" SCNd64, &v), 1);
    return v;
}

static int read_slot(void *ctx, unsigned slot, uint8_t *data, size_t n) {
    (void)ctx;
    if (n != LAMPPOST_KEPT_BYTES || w.broken == 2) return 1;
    memcpy(data, w.slots[slot], n);
    return 0;
}

/* How a cut write leaves the slot. */
static void cut(uint8_t *slot, const uint8_t *data, size_t n) {
    size_t half = n / 2;
    if (strcmp(w.cut_how, "erased") == 0 || strcmp(w.cut_how, "half") == 0) memset(slot, 0xff, LAMPPOST_KEPT_BYTES);
    if (strcmp(w.cut_how, "half") == 0 || strcmp(w.cut_how, "torn") == 0) memcpy(slot, data, half);
    if (strcmp(w.cut_how, "garbage") == 0) memset(slot, 0x5a, half);
    if (strcmp(w.cut_how, "after") == 0) memcpy(slot, data, n);
}

static int write_slot(void *ctx, unsigned slot, const uint8_t *data, size_t n) {
    (void)ctx;
    if (w.broken || n > LAMPPOST_KEPT_BYTES) return 1;
    w.kept_wall = w.g.wall;
    if (w.writes++ == w.cut_at) {
        w.broken = strcmp(w.cut_how, "worn") != 0;
        cut(w.slots[slot], data, n);
        return w.broken;
    }
    memcpy(w.slots[slot], data, n);
    return 0;
}

/* What a power loss leaves: the slots. */
static void power_up(uint8_t class) {
    const struct lamppost_charter *factory = w.g.factory;
    memset(&w.g, 0x5a, sizeof w.g);
    memset(&w.c, 0, sizeof w.c);
    w.g.network = "net", w.g.device = "d", w.g.factory = factory, w.g.class = class;
    w.g.port.ctx = NULL, w.g.port.read = read_slot, w.g.port.write = write_slot;
    w.c.guard = &w.g, w.c.functions = functions, w.c.function_count = sizeof functions / sizeof functions[0];
    w.broken = 0, w.writes = 0, w.cut_at = -1;
}

static void read_key(struct lamppost_key *k) {
    memset(k, 0, sizeof *k);
    k->key[0] = (uint8_t)read_number();
    if (k->key[0] != 0) k->suite = -8, k->bytes = 1;
}

static void read_charter(struct lamppost_charter *c) {
    unsigned i;
    memset(c, 0, sizeof *c);
    c->number = (uint32_t)read_number();
    read_key(&c->owner), read_key(&c->second);
    c->count = (uint8_t)read_number();
    if (c->count > LAMPPOST_FUNCTIONS) want(0, 1);
    for (i = 0; i < c->count; i++) {
        struct lamppost_function *f = &c->functions[i];
        read_text(f->name, sizeof f->name);
        f->class = (uint8_t)read_number(), f->min = (uint8_t)read_number(), f->notice = read_number(), f->grace = read_number();
    }
}

static int take(void) {
    struct lamppost_charter c;
    int is_signed = (int)read_number(), agreed = (int)read_number();
    read_charter(&c);
#if LAMPPOST_CHARTERS > 0
    return lamppost_guard_take(&w.g, &c, is_signed, agreed);
#else
    return is_signed + agreed + LAMPPOST_FULL;
#endif
}

static void contact(void) {
    static struct lamppost_request all[32];
    size_t i, n = (size_t)read_number();
    for (i = 0; i < n; i++) {
        read_text(all[i].id, sizeof all[i].id), read_text(all[i].function, sizeof all[i].function);
        all[i].level = (uint8_t)read_number(), all[i].left = read_number();
    }
    if (lamppost_guard_contact(&w.g, all, n)) lamppost_guard_keep(&w.g);
}

static void print_decision(struct lamppost_decision d) {
    static const char *const whys[] = {"-", "life", "minimum", "offline", "notice", "grace", "ended", "unasked"};
    printf(" %d %d %s %" PRId64 " %s", d.class, d.level, whys[d.why], d.after, d.request != NULL ? d.request->id : "-");
}

/* All that can be told of a guard: what it knows, and what it decides on some functions. */
static void show(void) {
    unsigned i, n = (unsigned)read_number();
    char name[LAMPPOST_ID_BYTES + 1];
    printf("%" PRId64, w.g.silent);
    for (i = 0; i < w.g.held_count; i++) printf(" %" PRIu32 ":%" PRId64, w.g.held[i].charter->number, w.g.held[i].known);
    for (i = 0; i < w.g.request_count; i++) {
        const struct lamppost_request *r = &w.g.requests[i];
        printf(" %s %s %d %" PRId64 " %" PRId64, r->id, r->function, r->level, r->left, r->known);
    }
    while (n-- > 0) {
        read_text(name, sizeof name);
        printf(" |");
        print_decision(lamppost_guard_level(&w.g, name));
        print_decision(lamppost_guard_least(&w.g, name));
        printf(" %d%d%d", lamppost_guard_may(&w.g, LAMPPOST_USE, name), lamppost_guard_may(&w.g, LAMPPOST_UNLOCK, name),
               lamppost_guard_may(&w.g, LAMPPOST_RELEASE, name));
    }
    printf("\n");
}

/* Bytes in hexadecimal, or "-", in memory of exactly their size, so that the sanitizer sees a byte too many. */
static uint8_t *read_hex(size_t *n) {
    const char *hex = read_word();
    uint8_t *data;
    unsigned byte;
    size_t i;
    *n = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
    if ((data = malloc(*n + 1)) == NULL) exit(2);
    if ((data = realloc(data, *n > 0 ? *n : 1)) == NULL) exit(2);
    for (i = 0; i < *n; i++) want(sscanf(hex + 2 * i, "%2x", &byte), 1), data[i] = (uint8_t)byte;
    return data;
}

/* Reads a message in pieces, as they may arrive. */
static int read_json(struct lamppost_json *j) {
    size_t n, at, piece = (size_t)read_number();
    uint8_t *data = read_hex(&n);
    for (at = 0; at < n; at += piece) lamppost_read(j, data + at, n - at < piece ? n - at : piece);
    free(data);
    return lamppost_read_end(j);
}

static void print_hex(const char *s) {
    for (; *s != 0; s++) printf("%02x", (uint8_t)*s);
}

/* Reads a message to the device; tells the machine, if it is to be told at a time. */
static void message(int tell) {
    static struct lamppost_message m;
    int64_t mono = tell ? read_number() : 0, wall = tell ? read_number() : 0;
    unsigned i;
    int err;
    lamppost_message_start(&m);
    err = read_json(&m.json);
    if (tell) {
        printf("%d\n", err == LAMPPOST_OK ? lamppost_commands_tell(&w.c, &m.desired, mono, wall) : err);
        return;
    }
    printf("%d", err);
    if (err == LAMPPOST_OK) {
        printf(" %" PRIu64 " %" PRId64 " %" PRId64, m.desired.revision, m.desired.until, m.desired.left);
        for (i = 0; i < m.desired.count; i++) {
            const struct lamppost_setpoint *p = &m.desired.set[i];
            printf(" %s %" PRId64 " %d ", p->name, p->mantissa, p->exponent);
            print_hex(p->unit);
        }
    }
    printf("\n");
}

static void answer(int hear) {
    static struct lamppost_answer a;
    unsigned i;
    int err;
    lamppost_answer_start(&a, "net");
    err = read_json(&a.json);
    if (hear) {
        printf("%d\n", err == LAMPPOST_OK ? lamppost_guard_hear(&w.g, a.requests, a.count) : err);
        return;
    }
    printf("%d", err);
    for (i = 0; err == LAMPPOST_OK && i < a.count; i++)
        printf(" %s %s %d %" PRId64, a.requests[i].id, a.requests[i].function, a.requests[i].level, a.requests[i].left);
    printf("\n");
}

static void word(void) {
    static char out[8192];
    size_t n, need, size = (size_t)read_number();
    int err = lamppost_guard_word(&w.g, out, size < sizeof out ? size : sizeof out, &n);
    if (err == LAMPPOST_OK) printf("%d %.*s\n", err, (int)n, out);
    else need = n, printf("%d %zu\n", err, need);
}

/* A step of commands: what is to be done, and the readings that acknowledge. */
static void step(void) {
    static struct lamppost_ack a;
    int64_t mono = read_number(), wall = read_number();
    int todo;
    size_t i;
    lamppost_guard_now(&w.g, mono, wall);
    todo = lamppost_commands_step(&w.c, mono, wall);
    printf("%d", todo);
    lamppost_commands_ack(&w.c, &a, 5, 7);
    lamppost_commands_acknowledged(&w.c);
    for (i = 0; i < a.count; i++)
        printf(" %s %s %" PRId64 " %d", a.readings[i].name, a.readings[i].unit[0] != 0 ? a.readings[i].unit : "-", a.readings[i].mantissa, a.readings[i].exponent);
    printf("\n");
}

static void grant(void) {
    struct lamppost_setpoint p;
    struct lamppost_grant got;
    read_text(p.name, sizeof p.name), read_text(p.unit, sizeof p.unit);
    p.mantissa = read_number(), p.exponent = (int8_t)read_number();
    got = lamppost_guard_command(&w.g, &p);
    printf("%d %d %" PRId64 " %d\n", got.granted, got.why, got.mantissa, got.exponent);
}

static void slot(void) {
    unsigned i = (unsigned)read_number() & 1;
    size_t n;
    uint8_t *data = read_hex(&n);
    memset(w.slots[i], 0xff, LAMPPOST_KEPT_BYTES);
    memcpy(w.slots[i], data, n < LAMPPOST_KEPT_BYTES ? n : LAMPPOST_KEPT_BYTES);
    free(data);
}

static void print_slots(void) {
    size_t i, j;
    for (i = 0; i < 2; i++) {
        for (j = 0; j < LAMPPOST_KEPT_BYTES; j++) printf("%02x", w.slots[i][j]);
        printf(i == 0 ? " " : "\n");
    }
}

static int is(const char *verb, const char *name) { return strcmp(verb, name) == 0; }

/* The machine's steps, which say nothing. Returns 0 if it is none of them. */
static int silent(const char *verb) {
    static struct lamppost_charter factory;
    int64_t mono, wall;
    if (is(verb, "new")) {
        memset(&w, 0, sizeof w);
        memset(w.slots, 0xff, sizeof w.slots);
        power_up((uint8_t)read_number());
        test_silence = read_number();
        lamppost_guard_open(&w.g, 0, 0);
    } else if (is(verb, "factory")) read_charter(&factory), w.g.factory = &factory;
    else if (is(verb, "offer")) take();
    else if (is(verb, "tick")) {
        mono = read_number(), wall = read_number();
        if (lamppost_guard_tick(&w.g, mono, wall)) lamppost_guard_keep(&w.g);
    } else if (is(verb, "contact")) contact();
    else if (is(verb, "save")) lamppost_guard_keep(&w.g);
    else if (is(verb, "restart")) {
        wall = read_number();
        power_up(w.g.class);
        lamppost_guard_open(&w.g, 0, w.kept_wall + wall);
    } else if (is(verb, "mark")) aside = w;
    else if (is(verb, "back")) {
        w = aside;
    } else if (is(verb, "slot")) slot();
    else if (is(verb, "broken")) w.broken = (int)read_number();
    else if (is(verb, "stop")) w.c.stopped = (uint8_t)read_number();
    else if (is(verb, "cut")) w.writes = 0, w.cut_at = (long)read_number(), read_text(w.cut_how, sizeof w.cut_how);
    else return 0;
    return 1;
}

static int asking(const char *verb) {
    int64_t mono, wall;
    char name[LAMPPOST_ID_BYTES + 1];
    if (is(verb, "show")) show();
    else if (is(verb, "take")) printf("%d\n", take());
    else if (is(verb, "open") || is(verb, "begin")) {
        power_up((uint8_t)read_number());
        mono = read_number(), wall = read_number();
        printf("%d\n", is(verb, "open") ? lamppost_guard_open(&w.g, mono, wall) : lamppost_guard_begin(&w.g, mono, wall));
    } else if (is(verb, "now")) mono = read_number(), wall = read_number(), printf("%d\n", lamppost_guard_now(&w.g, mono, wall));
    else if (is(verb, "hear") || is(verb, "answer")) answer(is(verb, "hear"));
    else if (is(verb, "tell") || is(verb, "message")) message(is(verb, "tell"));
    else if (is(verb, "word")) word();
    else if (is(verb, "step")) step();
    else if (is(verb, "grant")) grant();
    else if (is(verb, "slots")) print_slots();
    else if (is(verb, "level") || is(verb, "least")) {
        read_text(name, sizeof name);
        print_decision(is(verb, "level") ? lamppost_guard_level(&w.g, name) : lamppost_guard_least(&w.g, name));
        printf("\n");
    } else if (is(verb, "may")) {
        mono = read_number();
        read_text(name, sizeof name);
        printf("%d\n", lamppost_guard_may(&w.g, (int)mono, name));
    } else return 0;
    return 1;
}

int main(void) {
    char verb[16];
    static char out[1 << 16];
    setvbuf(stdout, out, _IOFBF, sizeof out);
    while (scanf("%15s", verb) == 1) {
        if (is(verb, "flush")) fflush(stdout);
        else if (!silent(verb)) want(asking(verb), 1);
    }
    return 0;
}
