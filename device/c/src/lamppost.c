/* SPDX-License-Identifier: Apache-2.0
 *
 * See lamppost.h for what this promises, docs/formats.md for the bytes. Top down: numbers, then the report, then CBOR
 * and checks. No library is called; the compiler may put memcpy or memset in place of a loop.
 */
#include "lamppost.h"

typedef char lamppost_reserve_is_sane[LAMPPOST_RESERVE >= 1 && LAMPPOST_RESERVE <= 1 << 20 ? 1 : -1];

static int check_id(const char *s);
static int check_report(const struct lamppost_report *r);
static size_t length(const char *s, size_t most);

/*
 * Numbers. Two slots are written in turn, so that the one being written can be lost:
 *
 *   offset  size  what, integers big-endian
 *   0       4     magic "lpn1"
 *   4       4     generation, one higher at every write; slot 0 has the even ones
 *   8       4     sequence epoch
 *   12      4     boot id, one higher at every start that made a report
 *   16      8     the highest number that may have been used in this epoch
 *   24      4     CRC-32C of "<network>/<device>"
 *   28      4     CRC-32C of bytes 0 to 27
 *
 * A number is used only after a reservation that covers it is durable. What was reserved and perhaps not used is skipped
 * at the next start.
 */

/* The words of a slot. */
enum { MAGIC, GENERATION, EPOCH, BOOT, RESERVED_HIGH, RESERVED_LOW, IDENTITY, SUM, WORDS };

static const uint32_t slot_magic = 0x6c706e31;

struct slot {
    uint32_t word[WORDS];
    int ok;
};

/* Castagnoli's polynomial, reflected, bit by bit: it runs over 32 bytes once in LAMPPOST_RESERVE reports. */
static uint32_t crc32c(uint32_t crc, const void *data, size_t n) {
    const uint8_t *p = data;
    int bit;
    for (crc = ~crc; n > 0; n--)
        for (crc ^= *p++, bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    return ~crc;
}

static uint32_t identity(const struct lamppost *l) {
    uint32_t crc = crc32c(0, l->network, length(l->network, LAMPPOST_ID_BYTES));
    crc = crc32c(crc, "/", 1);
    return crc32c(crc, l->device, length(l->device, LAMPPOST_ID_BYTES));
}

static int same(const uint8_t *a, const uint8_t *b, size_t n) {
    while (n > 0 && *a == *b) a++, b++, n--;
    return n == 0;
}

static int read_slot(const struct lamppost *l, unsigned i, struct slot *s) {
    uint8_t b[LAMPPOST_SLOT_BYTES];
    size_t at;
    if (l->port.read(l->port.ctx, i, b) != 0) return LAMPPOST_STORAGE;
    for (at = 0; at < sizeof b; at++) s->word[at / 4] = s->word[at / 4] << 8 | b[at];
    s->ok = s->word[MAGIC] == slot_magic && s->word[SUM] == crc32c(0, b, sizeof b - 4);
    return LAMPPOST_OK;
}

static void set_word(uint8_t *b, int word, uint32_t v) {
    int i;
    for (i = 3; i >= 0; i--, v >>= 8) b[4 * word + i] = (uint8_t)v;
}

/* Makes a reservation durable in the slot that does not hold the last one. After an error the next try goes to the same
 * slot, so the last reservation that is known to be good stays. */
static int reserve(struct lamppost *l, uint64_t reserved) {
    uint8_t b[LAMPPOST_SLOT_BYTES], again[LAMPPOST_SLOT_BYTES];
    uint32_t generation = l->generation + 1;
    set_word(b, MAGIC, slot_magic);
    set_word(b, GENERATION, generation);
    set_word(b, EPOCH, l->seq_epoch);
    set_word(b, BOOT, l->boot);
    set_word(b, RESERVED_HIGH, (uint32_t)(reserved >> 32));
    set_word(b, RESERVED_LOW, (uint32_t)reserved);
    set_word(b, IDENTITY, identity(l));
    set_word(b, SUM, crc32c(0, b, sizeof b - 4));
    if (generation == 0 || l->port.write(l->port.ctx, generation & 1, b) != 0) return LAMPPOST_STORAGE;
    if (l->port.read(l->port.ctx, generation & 1, again) != 0 || !same(b, again, sizeof b)) return LAMPPOST_STORAGE;
    l->generation = generation;
    l->reserved = reserved;
    return LAMPPOST_OK;
}

/* Continues from the newest slot. If the other cannot be read, it may have held the reservation after this one. */
static int load(struct lamppost *l, const struct slot *newest, int both_ok) {
    const uint32_t *word = newest->word;
    if (word[IDENTITY] != identity(l)) return LAMPPOST_OTHER;
    if (word[EPOCH] > l->seq_epoch) return LAMPPOST_EPOCH;
    l->generation = word[GENERATION];
    l->boot = word[BOOT] + 1;
    l->reserved = word[EPOCH] == l->seq_epoch ? (uint64_t)word[RESERVED_HIGH] << 32 | word[RESERVED_LOW] : 0;
    if (!both_ok) l->reserved += LAMPPOST_RESERVE;
    l->next = l->reserved + 1;
    l->open = 1;
    return LAMPPOST_OK;
}

/* Both slots are written before a number is used: nothing of another device is left, and one that cannot be read later was
 * lost and is not merely new. */
static int begin(struct lamppost *l) {
    int err;
    l->generation = 0;
    l->boot = 0;
    l->next = 1;
    if ((err = reserve(l, 0)) == LAMPPOST_OK) err = reserve(l, 0);
    l->boot = 1;
    l->open = err == LAMPPOST_OK;
    return err;
}

static int start(struct lamppost *l, int may_begin) {
    struct slot slot[2] = {{{0}, 0}, {{0}, 0}};
    const struct slot *newest;
    unsigned i;
    int err;
    l->open = 0;
    if (!check_id(l->network) || !check_id(l->device)) return LAMPPOST_BAD_INPUT;
    for (i = 0; i < 2; i++)
        if ((err = read_slot(l, i, &slot[i])) != LAMPPOST_OK) return err;
    newest = &slot[!slot[0].ok || (slot[1].ok && slot[1].word[GENERATION] > slot[0].word[GENERATION])];
    if (!newest->ok) err = LAMPPOST_NO_NUMBERS;
    else err = load(l, newest, slot[0].ok && slot[1].ok);
    if (!may_begin || (err != LAMPPOST_NO_NUMBERS && err != LAMPPOST_OTHER)) return err;
    return begin(l);
}

int lamppost_open(struct lamppost *l) { return start(l, 0); }

int lamppost_begin(struct lamppost *l) { return start(l, 1); }

int lamppost_close(struct lamppost *l) {
    if (!l->open) return LAMPPOST_CLOSED;
    l->open = 0;
    return l->next > l->reserved ? LAMPPOST_OK : reserve(l, l->next - 1);
}

/*
 * CBOR. A writer counts beyond its end, so that a first pass without a buffer measures what a second one writes.
 */

enum { UINT = 0x00, NINT = 0x20, BYTES = 0x40, TEXT = 0x60, ARRAY = 0x80, MAP = 0xa0 };

struct writer {
    uint8_t *p;
    size_t size, n;
};

static void put_byte(struct writer *w, uint8_t b) {
    if (w->n < w->size) w->p[w->n] = b;
    w->n++;
}

static void put(struct writer *w, const void *data, size_t n) {
    const uint8_t *s = data;
    while (n-- > 0) put_byte(w, *s++);
}

/* A major type and its argument in the shortest form. */
static void put_head(struct writer *w, uint8_t major, uint64_t n) {
    int shift = n < 24 ? 0 : n < 0x100 ? 8 : n < 0x10000 ? 16 : n <= 0xffffffff ? 32 : 64;
    put_byte(w, (uint8_t)(major | (shift == 0 ? (uint8_t)n : shift == 8 ? 24 : shift == 16 ? 25 : shift == 32 ? 26 : 27)));
    while ((shift -= 8) >= 0) put_byte(w, (uint8_t)(n >> shift));
}

static void put_int(struct writer *w, int64_t n) {
    if (n < 0) put_head(w, NINT, ~(uint64_t)n);
    else put_head(w, UINT, (uint64_t)n);
}

static void put_text(struct writer *w, const char *s) {
    size_t n = length(s, LAMPPOST_NAME_BYTES);
    put_head(w, TEXT, n);
    put(w, s, n);
}

static void put_field(struct writer *w, uint8_t label, const char *s) {
    put_byte(w, label);
    put_text(w, s);
}

static void put_decimal(struct writer *w, int64_t mantissa, int exponent) {
    if (exponent != 0) {
        put(w, "\xc4\x82", 2); /* tag 4, array of 2 */
        put_int(w, exponent);
    }
    put_int(w, mantissa);
}

/* Seconds and ms, either of which may be negative; ms is none of whole seconds. */
static void put_time(struct writer *w, int64_t seconds, int ms) {
    if (ms == 0) put_int(w, seconds);
    else put_decimal(w, seconds * 1000 + ms, -3);
}

/*
 * The report.
 */

/* "<device>/<key epoch>" */
static void put_key_id(struct writer *w, const struct lamppost *l) {
    size_t n = length(l->device, LAMPPOST_ID_BYTES), digits = 1;
    uint32_t scale = 1;
    for (; l->key_epoch / scale > 9; scale *= 10) digits++;
    put_head(w, BYTES, n + 1 + digits);
    put(w, l->device, n);
    put_byte(w, '/');
    for (; scale > 0; scale /= 10) put_byte(w, (uint8_t)('0' + l->key_epoch / scale % 10));
}

static void put_header(struct writer *w, const struct lamppost *l, const struct lamppost_report *r) {
    const uint64_t numbers[6] = {l->seq_epoch, l->next, r->billing, r->time_quality, l->boot, r->mono};
    size_t i;
    put(w, "\xa3\x01\x26\x04", 4); /* map of 3; 1: -7, ES256; 4: key id */
    put_key_id(w, l);
    put(w, "\x3a\x00\x01\x00\x00\x86", 6); /* -65537: array of 6 */
    for (i = 0; i < 6; i++) put_head(w, UINT, numbers[i]);
}

static int same_text(const char *a, const char *b) {
    while (*a != 0 && *a == *b) a++, b++;
    return *a == *b;
}

/* What the records of a pack share, which then stands once, in the first. */
struct shape {
    int name, unit;
};

static struct shape shape_of(const struct lamppost_report *r) {
    struct shape s;
    size_t i;
    s.name = s.unit = r->count > 1;
    for (i = 1; i < r->count; i++) {
        s.name = s.name && same_text(r->readings[i].name, r->readings[0].name);
        s.unit = s.unit && same_text(r->readings[i].unit, r->readings[0].unit);
    }
    return s;
}

/* One SenML record; labels in the order that deterministic CBOR gives them. base is the first reading. */
static void put_record(struct writer *w, struct shape s, const struct lamppost_reading *r, const struct lamppost_reading *base) {
    int first = r == base, later = r->seconds != base->seconds || r->ms != base->ms;
    put_byte(w, (uint8_t)(MAP + 1 + !s.name + !s.unit + later + first + (first && s.name) + (first && s.unit) +
                          (r->kind == LAMPPOST_INTERVAL) + (r->quality != LAMPPOST_MEASURED)));
    if (!s.name) put_field(w, 0x00, r->name);
    if (!s.unit) put_field(w, 0x01, r->unit);
    put_byte(w, r->kind == LAMPPOST_REGISTER ? 0x05 : 0x02); /* sum, value */
    put_decimal(w, r->mantissa, r->exponent);
    if (later) put_byte(w, 0x06), put_time(w, r->seconds - base->seconds, r->ms - base->ms);
    if (first && s.name) put_field(w, 0x21, r->name);
    if (first) put_byte(w, 0x22), put_time(w, r->seconds, r->ms);
    if (first && s.unit) put_field(w, 0x23, r->unit);
    if (r->kind == LAMPPOST_INTERVAL) put(w, "\x61k\x01", 3);
    if (r->quality != LAMPPOST_MEASURED) put(w, "\x61q", 2), put_byte(w, r->quality);
}

static void put_pack(struct writer *w, const struct lamppost *l, const struct lamppost_report *r) {
    struct shape s = shape_of(r);
    size_t i;
    (void)l;
    put_head(w, ARRAY, r->count);
    for (i = 0; i < r->count; i++) put_record(w, s, &r->readings[i], &r->readings[0]);
}

/* What binds a signature to one network and purpose. */
static void put_aad(struct writer *w, const struct lamppost *l, const struct lamppost_report *r) {
    (void)r;
    put_byte(w, ARRAY + 2);
    put_text(w, l->network);
    put(w, "\x66report", 7);
}

typedef void part(struct writer *, const struct lamppost *, const struct lamppost_report *);

/* A part as a byte string: measured, then written. */
static void put_wrapped(struct writer *w, part *write, const struct lamppost *l, const struct lamppost_report *r) {
    struct writer measure = {0, 0, 0};
    write(&measure, l, r);
    put_head(w, BYTES, measure.n);
    write(w, l, r);
}

/* Where the parts stand in the message that is signed (RFC 9052 section 4.4):
 *
 *   84 6a "Signature1" | header | external_aad | pack        and in the report:
 *            d2 84     | header | a0           | pack | 58 40 signature
 *
 * header and pack with their lengths before them. The report is shorter in front of each, so the message is built in the
 * report's buffer, and after signing its parts are moved down. external_aad has at most 52 bytes, so the message is never
 * the longer of the two. */
struct layout {
    size_t header, aad, pack, end;
};

enum { CONTEXT = 12, TAG = 2, SIGNATURE = 66 };

static size_t report_bytes(const struct layout *at) {
    return TAG + (at->aad - at->header) + 1 + (at->end - at->pack) + SIGNATURE;
}

static void put_message(struct writer *w, struct layout *at, const struct lamppost *l, const struct lamppost_report *r) {
    w->n = 0;
    put(w, "\x84\x6aSignature1", CONTEXT);
    at->header = w->n;
    put_wrapped(w, put_header, l, r);
    at->aad = w->n;
    put_wrapped(w, put_aad, l, r);
    at->pack = w->n;
    put_wrapped(w, put_pack, l, r);
    at->end = w->n;
}

/* Moves towards the front, from the lowest byte on, so parts may overlap. */
static size_t move_down(uint8_t *b, size_t to, size_t from, size_t end) {
    while (from < end) b[to++] = b[from++];
    return to;
}

static size_t to_report(uint8_t *b, const struct layout *at, const uint8_t rs[64]) {
    size_t n, i;
    b[0] = 0xd2; /* tag 18, COSE_Sign1 */
    b[1] = 0x84; /* array of 4 */
    n = move_down(b, TAG, at->header, at->aad);
    b[n++] = 0xa0; /* unprotected header: empty */
    n = move_down(b, n, at->pack, at->end);
    b[n++] = 0x58;
    b[n++] = 0x40;
    for (i = 0; i < 64; i++) b[n++] = rs[i];
    return n;
}

/* The order n of P-256 (SEC 2 section 2.4.2). */
static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                  0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

/* d = n - a; false if a is 0 or not below n. */
static int negate(uint8_t d[32], const uint8_t a[32]) {
    int i, borrow = 0, any = 0;
    for (i = 31; i >= 0; i--) {
        int v = order[i] - a[i] - borrow;
        borrow = v < 0;
        any |= a[i];
        d[i] = (uint8_t)v;
    }
    return any != 0 && borrow == 0 && !same(a, order, 32);
}

/* Of s and n - s the lower one is the signature; the network takes no other. n is odd, so they differ. */
static int lower_s(uint8_t rs[64]) {
    uint8_t other[32], *s = rs + 32;
    int i;
    if (!negate(other, rs) || !negate(other, s)) return 0;
    for (i = 0; i < 31 && s[i] == other[i];) i++;
    if (other[i] < s[i])
        for (i = 0; i < 32; i++) s[i] = other[i];
    return 1;
}

int lamppost_sign(struct lamppost *l, const struct lamppost_report *r, uint8_t *out, size_t size, size_t *n) {
    struct writer w = {0, 0, 0};
    struct layout at;
    uint8_t rs[64];
    size_t need;
    int err;
    *n = 0;
    if (!l->open) return LAMPPOST_CLOSED;
    if (!check_report(r)) return LAMPPOST_BAD_INPUT;
    if (l->next > INT64_MAX - LAMPPOST_RESERVE) return LAMPPOST_EPOCH;
    put_message(&w, &at, l, r);
    need = report_bytes(&at);
    if (need > LAMPPOST_REPORT_BYTES) return LAMPPOST_TOO_LARGE;
    if (need > size) {
        *n = need;
        return LAMPPOST_TOO_SMALL;
    }
    if (l->next > l->reserved && (err = reserve(l, l->next + LAMPPOST_RESERVE - 1)) != LAMPPOST_OK) return err;
    w.p = out, w.size = size;
    put_message(&w, &at, l, r);
    if (l->port.sign(l->port.ctx, rs, out, at.end) != 0 || !lower_s(rs)) return LAMPPOST_SIGNING;
    l->next++;
    *n = to_report(out, &at, rs);
    return LAMPPOST_OK;
}

/*
 * Checks: what the network would refuse costs no number.
 */

/* The length of a text, or most + 1 if it is longer. */
static size_t length(const char *s, size_t most) {
    size_t n = 0;
    while (n <= most && s[n] != 0) n++;
    return n;
}

static int alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

static int check_id(const char *s) {
    size_t i, n = length(s, LAMPPOST_ID_BYTES);
    for (i = 0; i < n; i++)
        if (!alnum(s[i]) && (i == 0 || (s[i] != '.' && s[i] != '_' && s[i] != '-'))) return 0;
    return n >= 1 && n <= LAMPPOST_ID_BYTES;
}

/* Whether a text has min to max bytes and is UTF-8 (RFC 3629 section 4). */
static int check_text(const char *text, size_t min, size_t max) {
    const uint8_t *s = (const uint8_t *)text;
    size_t n = length(text, max);
    if (n < min || n > max) return 0;
    while (*s != 0) {
        uint8_t c = *s++, low = 0x80, high = 0xbf;
        int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if ((c >= 0x80 && c < 0xc2) || c > 0xf4) return 0;
        if (c == 0xe0) low = 0xa0; /* shorter forms exist below */
        if (c == 0xed) high = 0x9f; /* surrogates above */
        if (c == 0xf0) low = 0x90;
        if (c == 0xf4) high = 0x8f; /* beyond U+10FFFF */
        for (; more > 0; more--, low = 0x80, high = 0xbf, s++)
            if (*s < low || *s > high) return 0; /* the final 0 too */
    }
    return 1;
}

/* Whether a time, or the distance of one from the first, can be written. |seconds| is below 2^45, so nothing overflows. */
static int check_time(int64_t seconds, int ms) {
    int64_t limit = ms == 0 ? INT64_C(1) << 43 : INT64_C(1) << 53, v = ms == 0 ? seconds : seconds * 1000 + ms;
    return v > -limit && v < limit;
}

static int check_reading(const struct lamppost_reading *r, const struct lamppost_reading *base) {
    const int64_t far = INT64_C(1) << 45;
    if (!check_text(r->name, 1, LAMPPOST_NAME_BYTES) || !check_text(r->unit, 0, LAMPPOST_UNIT_BYTES)) return 0;
    if (r->seconds <= -far || r->seconds >= far || r->ms > 999) return 0;
    if (r == base ? !check_time(r->seconds, r->ms) : !check_time(r->seconds - base->seconds, r->ms - base->ms)) return 0;
    return r->mantissa != INT64_MIN && r->exponent >= -9 && r->exponent <= 0 && r->kind <= LAMPPOST_INTERVAL &&
           r->quality <= LAMPPOST_FAULTY;
}

static int check_report(const struct lamppost_report *r) {
    size_t i;
    if (r->count < 1 || r->count > LAMPPOST_READINGS) return 0;
    for (i = 0; i < r->count; i++)
        if (!check_reading(&r->readings[i], &r->readings[0])) return 0;
    return r->mono <= INT64_MAX && r->time_quality <= LAMPPOST_TIME_SYNCHRONISED && r->billing <= 1;
}
