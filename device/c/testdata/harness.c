/* SPDX-License-Identifier: Apache-2.0
 *
 * Lets a test in another language drive lamppost.c over stdin and stdout, with two slots in memory whose power can be
 * cut in any write. Every line of input gets a line of output; c_test.go shows the words.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lamppost.h"

static uint8_t slots[2][LAMPPOST_SLOT_BYTES];
static int power = 1;
static long writes, cut_at = -1; /* the write, counted from 0, that does not succeed */
static char cut_how[16];

static void *need(void *p) {
    if (p == NULL) exit(2);
    return p;
}

static void want(int got, int wanted) {
    if (got != wanted) fprintf(stderr, "harness: cannot read the line\n"), exit(2);
}

/* A string in hexadecimal, or "-" if it is empty, in memory of exactly its size. */
static char *unhex(const char *hex) {
    size_t i, n = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
    char *s = need(calloc(n + 1, 1));
    unsigned byte;
    for (i = 0; i < n; i++) {
        want(sscanf(hex + 2 * i, "%2x", &byte), 1);
        s[i] = (char)byte;
    }
    return s;
}

static char *read_word(void) {
    static char word[4096];
    want(scanf("%4095s", word), 1);
    return word;
}

static char *read_hex(void) { return unhex(read_word()); }

static void print_hex(const uint8_t *p, size_t n) {
    if (n == 0) printf("-");
    while (n-- > 0) printf("%02x", *p++);
}

static int read_slot(void *ctx, unsigned slot, uint8_t data[LAMPPOST_SLOT_BYTES]) {
    (void)ctx;
    if (!power || slot > 1) return 1;
    memcpy(data, slots[slot], LAMPPOST_SLOT_BYTES);
    return 0;
}

/* How a cut write leaves the slot. */
static void cut(uint8_t *slot, const uint8_t *data) {
    size_t half = LAMPPOST_SLOT_BYTES / 2;
    if (strcmp(cut_how, "erased") == 0 || strcmp(cut_how, "half") == 0) memset(slot, 0xff, LAMPPOST_SLOT_BYTES);
    if (strcmp(cut_how, "half") == 0 || strcmp(cut_how, "torn") == 0) memcpy(slot, data, half);
    if (strcmp(cut_how, "garbage") == 0) memset(slot, 0x5a, half);
    if (strcmp(cut_how, "after") == 0) memcpy(slot, data, LAMPPOST_SLOT_BYTES);
}

static int write_slot(void *ctx, unsigned slot, const uint8_t data[LAMPPOST_SLOT_BYTES]) {
    (void)ctx;
    if (!power || slot > 1) return 1;
    if (writes++ != cut_at) {
        memcpy(slots[slot], data, LAMPPOST_SLOT_BYTES);
        return 0;
    }
    if (strcmp(cut_how, "worn") == 0) return 0; /* says that it wrote and did not; the power stays */
    cut(slots[slot], data);
    power = 0;
    return 1;
}

/* Asks the test for the signature; "-" is a failure. */
static int sign(void *ctx, uint8_t rs[64], const uint8_t *msg, size_t n) {
    char *answer, *word;
    (void)ctx;
    printf("message ");
    print_hex(msg, n);
    printf("\n");
    fflush(stdout);
    word = read_word();
    if (strcmp(word, "-") == 0) return 1;
    want((int)strlen(word), 128);
    answer = unhex(word);
    memcpy(rs, answer, 64);
    free(answer);
    return 0;
}

static void read_device(struct lamppost *l) {
    free((char *)l->network);
    free((char *)l->device);
    l->network = read_hex();
    l->device = read_hex();
    want(scanf("%" SCNu32 "%" SCNu32, &l->key_epoch, &l->seq_epoch), 2);
}

static void read_reading(struct lamppost_reading *r) {
    r->name = read_hex();
    r->unit = read_hex();
    want(scanf("%" SCNd64 "%" SCNu16 "%" SCNd64 "%" SCNd8 "%" SCNu8 "%" SCNu8, &r->seconds, &r->ms, &r->mantissa, &r->exponent,
               &r->kind, &r->quality), 6);
}

static void sign_report(struct lamppost *l) {
    struct lamppost_report r;
    struct lamppost_reading *readings;
    size_t size, i, n = 0;
    uint8_t *out;
    int code;
    want(scanf("%zu%" SCNu64 "%" SCNu8 "%" SCNu8 "%zu", &size, &r.mono, &r.time_quality, &r.billing, &r.count), 5);
    readings = need(calloc(r.count + 1, sizeof *readings));
    for (i = 0; i < r.count; i++) read_reading(&readings[i]);
    r.readings = readings;
    if (size == 0) size = LAMPPOST_BUFFER(r.count);
    out = need(malloc(size));
    code = lamppost_sign(l, &r, out, size, &n);
    printf("%d %zu ", code, n);
    print_hex(out, code == LAMPPOST_OK ? n : 0);
    printf("\n");
    for (i = 0; i < r.count; i++) free((char *)readings[i].name), free((char *)readings[i].unit);
    free(readings);
    free(out);
}

static void set_slot(void) {
    unsigned i;
    char *data;
    want(scanf("%u", &i), 1);
    data = read_hex();
    memcpy(slots[i & 1], data, LAMPPOST_SLOT_BYTES);
    free(data);
}

/* The power comes back: what was in memory is not there any more. */
static void restart(struct lamppost *l) {
    const char *network = l->network, *device = l->device;
    uint32_t key_epoch = l->key_epoch, seq_epoch = l->seq_epoch;
    memset(l, 0x5a, sizeof *l);
    l->network = network, l->device = device, l->key_epoch = key_epoch, l->seq_epoch = seq_epoch;
    l->port.ctx = NULL, l->port.sign = sign, l->port.read = read_slot, l->port.write = write_slot;
    l->open = 0;
    power = 1, writes = 0, cut_at = -1;
}

int main(void) {
    struct lamppost l = {0};
    char verb[16];
    memset(slots, 0xff, sizeof slots);
    restart(&l);
    while (scanf("%15s", verb) == 1) {
        if (strcmp(verb, "sign") == 0) {
            sign_report(&l);
            fflush(stdout);
            continue;
        }
        if (strcmp(verb, "device") == 0) read_device(&l);
        else if (strcmp(verb, "restart") == 0) restart(&l);
        else if (strcmp(verb, "slot") == 0) set_slot();
        else if (strcmp(verb, "cut") == 0) want(scanf("%ld %15s", &cut_at, cut_how), 2), writes = 0;
        else if (strcmp(verb, "open") == 0) printf("%d ", lamppost_open(&l));
        else if (strcmp(verb, "begin") == 0) printf("%d ", lamppost_begin(&l));
        else if (strcmp(verb, "close") == 0) printf("%d ", lamppost_close(&l));
        else want(0, 1);
        printf("%ld\n", writes);
        fflush(stdout);
    }
    free((char *)l.network);
    free((char *)l.device);
    return 0;
}
