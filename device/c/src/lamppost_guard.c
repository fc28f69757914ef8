/* SPDX-License-Identifier: Apache-2.0
 *
 * See lamppost_guard.h for what this promises, docs/guard.md for why. Top down: what is decided, how time passes, charters, and how
 * all of it is kept. Nothing overflows, whatever the clocks say: times are compared before they are added.
 */
#include "lamppost_guard.h"

typedef char lamppost_guard_is_sane[LAMPPOST_FUNCTIONS >= 1 && LAMPPOST_FUNCTIONS <= 32 && LAMPPOST_REQUESTS >= 1 &&
                                            LAMPPOST_REQUESTS <= 16 && LAMPPOST_CHARTERS >= 0 && LAMPPOST_CHARTERS <= 4
                                        ? 1
                                        : -1];

enum { FULL_SERVICE = 100 };

#define MIN_NOTICE (7 * 24 * LAMPPOST_HOUR)
#define MIN_GRACE (72 * LAMPPOST_HOUR)
#define MAX_NOTICE (366 * 24 * LAMPPOST_HOUR)

/* What a function is of which only the class is known. */
static const struct lamppost_function default_of[] = {{"", LAMPPOST_ESSENTIAL, 0, MIN_NOTICE, MIN_GRACE},
                                                      {"", LAMPPOST_LIFE, 0, 0, 0},
                                                      {"", LAMPPOST_PUBLIC, FULL_SERVICE, 0, 0},
                                                      {"", LAMPPOST_ORDINARY, 0, 0, 0}};

static int compare(const char *a, const char *b) {
    while (*a != 0 && *a == *b) a++, b++;
    return (uint8_t)*a - (uint8_t)*b;
}

static const struct lamppost_function *in_charter(const struct lamppost_charter *c, const char *name) {
    unsigned i;
    for (i = 0; i < c->count; i++)
        if (compare(c->functions[i].name, name) == 0) return &c->functions[i];
    return &default_of[LAMPPOST_ESSENTIAL];
}

/* By how many charters a function is judged, and what it is by one of them. */
static int judges(const struct lamppost_guard *g) { return g->held_count > 0 && !g->damaged ? g->held_count : 1; }

static const struct lamppost_function *function_by(const struct lamppost_guard *g, int i, const char *name) {
    if (g->damaged) return &default_of[LAMPPOST_LIFE];
    return g->held_count > 0 ? in_charter(g->held[i].charter, name) : &default_of[g->class];
}

/*
 * Decisions.
 */

int lamppost_guard_online(const struct lamppost_guard *g) { return g->silent <= LAMPPOST_SILENCE; }

static uint8_t least(const struct lamppost_function *f, uint8_t level) {
    if (f->class != LAMPPOST_ORDINARY && level < f->min) level = f->min;
    return level < FULL_SERVICE ? level : FULL_SERVICE;
}

/* Why a function is not restricted at all by a request that has been known for some time. */
static uint8_t refuses(const struct lamppost_guard *g, const struct lamppost_function *f, int64_t known, int64_t *after) {
    int64_t left = f->notice + f->grace - known;
    if (f->class == LAMPPOST_LIFE) return LAMPPOST_BY_LIFE;
    if (f->class != LAMPPOST_ESSENTIAL) return LAMPPOST_GRANTED;
    *after = left > 0 ? left : 0;
    if (!lamppost_guard_online(g)) return LAMPPOST_BY_OFFLINE;
    if (known < f->notice) return LAMPPOST_BY_NOTICE;
    return left > 0 ? LAMPPOST_BY_GRACE : LAMPPOST_GRANTED;
}

static struct lamppost_decision answer(const struct lamppost_guard *g, const struct lamppost_function *f, const struct lamppost_request *r) {
    struct lamppost_decision d = {0, FULL_SERVICE, LAMPPOST_BY_END, 0, NULL};
    d.class = f->class, d.request = r;
    if (r->left == 0) return d;
    if ((d.why = refuses(g, f, r->known, &d.after)) != LAMPPOST_GRANTED) return d;
    if ((d.level = least(f, r->level)) > r->level) d.why = LAMPPOST_BY_MINIMUM;
    return d;
}

static struct lamppost_decision on_site(const struct lamppost_guard *g, const struct lamppost_function *f, const char *name) {
    struct lamppost_decision d = {0, FULL_SERVICE, LAMPPOST_GRANTED, 0, NULL};
    d.class = f->class;
    if (f->class == LAMPPOST_LIFE) {
        d.why = LAMPPOST_BY_LIFE;
    } else if (f->class == LAMPPOST_ESSENTIAL) {
        d = lamppost_guard_level(g, name);
        if (d.why == LAMPPOST_GRANTED && d.level == FULL_SERVICE) d.why = LAMPPOST_BY_NOBODY;
    } else if ((d.level = least(f, 0)) > 0) {
        d.why = LAMPPOST_BY_MINIMUM;
    }
    return d;
}

/* Decides by every charter that counts, on a request or for whoever is on site, and returns what protects most. */
static struct lamppost_decision strictest(const struct lamppost_guard *g, const char *name, const struct lamppost_request *r) {
    struct lamppost_decision d = {0, 0, 0, 0, NULL};
    int i, last = judges(g) - 1;
    for (i = last; i >= 0; i--) {
        const struct lamppost_function *f = function_by(g, i, name);
        struct lamppost_decision got = r != NULL ? answer(g, f, r) : on_site(g, f, name);
        if (i == last || got.level > d.level || (got.level == d.level && got.after > d.after)) d = got;
    }
    return d;
}

struct lamppost_decision lamppost_guard_level(const struct lamppost_guard *g, const char *function) {
    struct lamppost_decision d = {0, FULL_SERVICE, LAMPPOST_GRANTED, 0, NULL}, got;
    unsigned i;
    d.class = function_by(g, judges(g) - 1, function)->class;
    for (i = 0; i < g->request_count; i++) {
        if (compare(g->requests[i].function, function) != 0) continue;
        got = strictest(g, function, &g->requests[i]);
        if (d.request == NULL || got.level < d.level) d = got;
    }
    return d;
}

struct lamppost_decision lamppost_guard_least(const struct lamppost_guard *g, const char *function) {
    return strictest(g, function, NULL);
}

int lamppost_guard_may(const struct lamppost_guard *g, int action, const char *function) {
    return action != LAMPPOST_USE || lamppost_guard_level(g, function).level > 0;
}

/*
 * Time. Notice and grace count the smaller of what both clocks say, and only where the network was there all that time, since nobody can
 * answer a notice without it. Silence, and the end of a request, count the greater.
 */

/* a + b, at most most. */
static int64_t add(int64_t a, int64_t b, int64_t most) { return a >= most || b >= most - a ? most : a + b; }

static void age_requests(struct lamppost_guard *g, int64_t slow, int64_t fast) {
    unsigned i;
    int j;
    for (i = 0; i < g->request_count; i++) {
        struct lamppost_request *r = &g->requests[i];
        int64_t counts = r->known; /* more than notice and grace is not counted */
        for (j = judges(g) - 1; j >= 0; j--) {
            const struct lamppost_function *f = function_by(g, j, r->function);
            if (f->notice + f->grace > counts) counts = f->notice + f->grace;
        }
        r->known = add(r->known, slow, counts);
        r->left = r->left > fast ? r->left - fast : 0;
    }
}

/* Drops what a later charter replaces whose notice is over: that of the longest in any of them. */
static int age_charters(struct lamppost_guard *g, int64_t slow) {
    int64_t notice = MIN_NOTICE;
    unsigned i, j, over = 0;
    if (g->held_count < 2) return 0;
    for (i = 0; i < g->held_count; i++)
        for (j = 0; j < g->held[i].charter->count; j++)
            if (g->held[i].charter->functions[j].notice > notice) notice = g->held[i].charter->functions[j].notice;
    for (i = 0; i < g->held_count; i++)
        if ((g->held[i].known = add(g->held[i].known, slow, notice)) == notice) over = i;
    g->held_count = (uint8_t)(g->held_count - over);
    for (i = 0; i < g->held_count; i++) g->held[i] = g->held[i + over];
    return over > 0;
}

int lamppost_guard_tick(struct lamppost_guard *g, int64_t mono, int64_t wall) {
    int64_t slow, fast;
    if (mono < 0) mono = 0;
    if (wall < 0) wall = 0;
    slow = mono < wall ? mono : wall, fast = mono < wall ? wall : mono;
    g->silent = add(g->silent, fast, LAMPPOST_SILENCE + 1);
    if (!lamppost_guard_online(g)) slow = 0;
    age_requests(g, slow, fast);
    return age_charters(g, slow);
}

/* Sorts by id, leaves the first of each id, and of these what has time left. */
static size_t tidy(struct lamppost_request *all, size_t n) {
    size_t i, j, m = 0;
    for (i = 1; i < n; i++) {
        struct lamppost_request r = all[i];
        for (j = i; j > 0 && compare(all[j - 1].id, r.id) > 0; j--) all[j] = all[j - 1];
        all[j] = r;
    }
    for (i = 0, j = 0; i < n; i = j) {
        for (j = i + 1; j < n && compare(all[i].id, all[j].id) == 0; j++) {
        }
        if (all[i].left > 0) all[m++] = all[i];
    }
    return m;
}

static int same_request(const struct lamppost_request *a, const struct lamppost_request *b) {
    return compare(a->id, b->id) == 0 && compare(a->function, b->function) == 0 && a->level == b->level;
}

int lamppost_guard_contact(struct lamppost_guard *g, struct lamppost_request *asked, size_t n) {
    unsigned i, j;
    int changed;
    g->silent = 0;
    n = tidy(asked, n < LAMPPOST_REQUESTS ? n : LAMPPOST_REQUESTS);
    changed = n != g->request_count;
    for (i = 0; i < n; i++) {
        asked[i].known = 0;
        for (j = 0; j < g->request_count; j++)
            if (same_request(&g->requests[j], &asked[i])) asked[i].known = g->requests[j].known;
        changed = changed || !same_request(&g->requests[i], &asked[i]);
    }
    for (i = 0; i < n; i++) g->requests[i] = asked[i];
    g->request_count = (uint8_t)n;
    return changed;
}

/*
 * Charters.
 */

static int rank(const struct lamppost_function *f) {
    static const uint8_t ranks[] = {1, 3, 2, 0}; /* essential, life, public, ordinary */
    return ranks[f->class];
}

static int check_function(const struct lamppost_function *f) {
    int timed = f->class == LAMPPOST_ESSENTIAL;
    if (f->name[0] == 0 || f->name[LAMPPOST_ID_BYTES] != 0 || f->class > LAMPPOST_ORDINARY || f->min > FULL_SERVICE) return 0;
    if (!timed) return f->notice == 0 && f->grace == 0 && (f->min == 0 || f->class == LAMPPOST_PUBLIC);
    return f->notice >= MIN_NOTICE && f->grace >= MIN_GRACE && f->notice <= MAX_NOTICE && f->grace <= MAX_NOTICE;
}

static int check_charter(const struct lamppost_charter *c) {
    unsigned i;
    if (c->number == 0 || c->count < 1 || c->count > LAMPPOST_FUNCTIONS) return 0;
    for (i = 0; i < c->count; i++)
        if (!check_function(&c->functions[i]) || (i > 0 && compare(c->functions[i - 1].name, c->functions[i].name) >= 0)) return 0;
    return 1;
}

#if LAMPPOST_CHARTERS > 0

static int same_key(const struct lamppost_key *a, const struct lamppost_key *b) {
    unsigned i;
    if (a->suite != b->suite || (a->suite != 0 && a->bytes != b->bytes)) return 0;
    for (i = 0; a->suite != 0 && i < a->bytes; i++)
        if (a->key[i] != b->key[i]) return 0;
    return 1;
}

/* Whether anything that then forbids is allowed now. */
static int function_falls(const struct lamppost_function *now, const struct lamppost_function *then) {
    if (rank(now) < rank(then)) return 1;
    if (now->class == LAMPPOST_LIFE || now->min == FULL_SERVICE) return 0;
    return now->min < then->min || now->notice < then->notice || now->grace < then->grace ||
           (then->class == LAMPPOST_ESSENTIAL && now->class != LAMPPOST_ESSENTIAL);
}

/* Compares all that either names. */
static int falls(const struct lamppost_charter *now, const struct lamppost_charter *then) {
    unsigned i;
    if (!same_key(&now->owner, &then->owner) || !same_key(&now->second, &then->second)) return 1;
    for (i = 0; i < then->count; i++)
        if (function_falls(in_charter(now, then->functions[i].name), &then->functions[i])) return 1;
    for (i = 0; i < now->count; i++)
        if (function_falls(&now->functions[i], in_charter(then, now->functions[i].name))) return 1;
    return 0;
}

/* A place that no charter stands in which counts. There is one: at most one less than there are places do. */
static struct lamppost_charter *place(struct lamppost_guard *g) {
    unsigned i, j;
    for (i = 0; i + 1 < LAMPPOST_CHARTERS; i++) {
        for (j = 0; j < g->held_count && g->held[j].charter != &g->store[i]; j++) {
        }
        if (j == g->held_count) break;
    }
    return &g->store[i];
}

/* Leaves of those that count what the new one falls below, and adds it. */
static int add_charter(struct lamppost_guard *g, const struct lamppost_charter *c) {
    unsigned i, n = 0;
    struct lamppost_charter *to;
    for (i = 0; i < g->held_count; i++) n += falls(c, g->held[i].charter) != 0;
    if (n == LAMPPOST_HELD) return LAMPPOST_FULL;
    for (i = 0, n = 0; i < g->held_count; i++)
        if (falls(c, g->held[i].charter)) g->held[n++] = g->held[i];
    g->held_count = (uint8_t)n;
    to = place(g);
    *to = *c;
    g->held[n].charter = to, g->held[n].known = 0;
    g->held_count++;
    return LAMPPOST_OK;
}

int lamppost_guard_take(struct lamppost_guard *g, const struct lamppost_charter *c, int is_signed, int agreed) {
    const struct lamppost_charter *latest = g->held_count > 0 ? g->held[g->held_count - 1].charter : NULL;
    int err;
    if (g->failed || g->damaged) return g->failed ? LAMPPOST_STORAGE : LAMPPOST_DAMAGED;
    if (!check_charter(c)) return LAMPPOST_BAD_INPUT;
    if (!is_signed) return LAMPPOST_NOT_SIGNED;
    if (latest != NULL && c->number <= latest->number) return LAMPPOST_OLD;
    if (latest != NULL && !agreed && falls(c, latest)) return LAMPPOST_NOT_AGREED;
    if ((err = add_charter(g, c)) != LAMPPOST_OK) return err;
    if ((err = lamppost_guard_keep(g)) != LAMPPOST_OK) return err;
    return lamppost_guard_keep(g); /* in both slots: whichever is lost, the charter is not */
}

#endif

uint32_t lamppost_guard_charter(const struct lamppost_guard *g) {
    return g->held_count > 0 ? g->held[g->held_count - 1].charter->number : 0;
}

/*
 * What is kept: two slots that are written in turn.
 *
 *   offset  size  what, integers big-endian
 *   0       4     magic "lpg1"
 *   4       4     generation, one higher at every write; slot 0 has the even ones
 *   8       4     length of all of it
 *   12      4     CRC-32C of "<network>/<device>"
 *   16      8     the clock of days
 *   24      3     class, charters, requests
 *   27            for each charter: 8 known for, 1 whether it is the factory's; if it is not: 4 number, 1 functions, two keys (1 suite,
 *                 1 length, its bytes), and for each function 1 length, its name, 1 class, 1 minimum, 8 notice, 8 grace
 *                 for each request: 1 length, its id, 1 length, its function, 1 level, 8 left, 8 known for
 *   last    4     CRC-32C of all before
 *
 * If one slot is neither blank nor whole, nobody knows whether it held the last state or only part of a next one: the charters are those of
 * the other, and nothing is asked until the network says so again, with notice from the start.
 */

static const uint32_t kept_magic = 0x6c706731;

enum { LENGTH_AT = 8, HEAD_BYTES = 27, SUM_BYTES = 4 };

/* Castagnoli's polynomial, reflected. */
static uint32_t crc32c(uint32_t crc, const void *data, size_t n) {
    const uint8_t *p = data;
    int bit;
    for (crc = ~crc; n > 0; n--)
        for (crc ^= *p++, bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    return ~crc;
}

static size_t length(const char *s) {
    size_t n = 0;
    while (s[n] != 0) n++;
    return n;
}

static uint32_t identity(const struct lamppost_guard *g) {
    return crc32c(crc32c(crc32c(0, g->network, length(g->network)), "/", 1), g->device, length(g->device));
}

struct bytes {
    uint8_t *p;
    size_t n, size;
    int bad; /* there is less than is read */
};

static void put(struct bytes *b, uint64_t v, int n) {
    while (n-- > 0) b->p[b->n++] = (uint8_t)(v >> 8 * n);
}

static void put_bytes(struct bytes *b, const void *data, size_t n) {
    const uint8_t *s = data;
    put(b, n, 1);
    while (n-- > 0) put(b, *s++, 1);
}

static uint64_t get(struct bytes *b, int n) {
    uint64_t v = 0;
    if (b->size - b->n < (size_t)n) b->bad = 1, b->n = b->size;
    else
        while (n-- > 0) v = v << 8 | b->p[b->n++];
    return v;
}

static int64_t get_time(struct bytes *b) {
    uint64_t v = get(b, 8);
    if (v > INT64_MAX) b->bad = 1;
    return b->bad ? 0 : (int64_t)v;
}

static uint8_t get_bytes(struct bytes *b, void *data, size_t most) {
    uint8_t *to = data, n = (uint8_t)get(b, 1), i;
    if (n > most) b->bad = 1;
    for (i = 0; i < n && !b->bad; i++) to[i] = (uint8_t)get(b, 1);
    return n;
}

static void get_text(struct bytes *b, char *text, size_t most) {
    uint8_t n = get_bytes(b, text, most);
    if (!b->bad) text[n] = 0;
}

#if LAMPPOST_CHARTERS > 0

static void put_charter(struct bytes *b, const struct lamppost_charter *c) {
    unsigned i;
    put(b, c->number, 4), put(b, c->count, 1);
    put(b, (uint8_t)c->owner.suite, 1), put_bytes(b, c->owner.key, c->owner.bytes);
    put(b, (uint8_t)c->second.suite, 1), put_bytes(b, c->second.key, c->second.bytes);
    for (i = 0; i < c->count; i++) {
        const struct lamppost_function *f = &c->functions[i];
        put_bytes(b, f->name, length(f->name));
        put(b, f->class, 1), put(b, f->min, 1), put(b, (uint64_t)f->notice, 8), put(b, (uint64_t)f->grace, 8);
    }
}

static void get_key(struct bytes *b, struct lamppost_key *k) {
    k->suite = (int8_t)(uint8_t)get(b, 1);
    k->bytes = get_bytes(b, k->key, LAMPPOST_KEY_BYTES);
}

static void get_charter(struct bytes *b, struct lamppost_charter *c) {
    unsigned i;
    c->number = (uint32_t)get(b, 4);
    if ((c->count = (uint8_t)get(b, 1)) > LAMPPOST_FUNCTIONS) b->bad = 1;
    get_key(b, &c->owner), get_key(b, &c->second);
    for (i = 0; i < c->count && !b->bad; i++) {
        struct lamppost_function *f = &c->functions[i];
        get_text(b, f->name, LAMPPOST_ID_BYTES);
        f->name[LAMPPOST_ID_BYTES] = 0;
        f->class = (uint8_t)get(b, 1), f->min = (uint8_t)get(b, 1), f->notice = get_time(b), f->grace = get_time(b);
    }
    if (b->bad || !check_charter(c)) b->bad = 1;
}

#endif

static void put_held(struct bytes *b, const struct lamppost_guard *g, const struct lamppost_held *h) {
    int factory = h->charter == g->factory;
    put(b, (uint64_t)h->known, 8), put(b, (uint64_t)factory, 1);
#if LAMPPOST_CHARTERS > 0
    if (!factory) put_charter(b, h->charter);
#endif
}

static void get_held(struct bytes *b, struct lamppost_guard *g, unsigned i) {
    struct lamppost_held *h = &g->held[i];
    h->known = get_time(b);
    h->charter = g->factory;
    if (get(b, 1) == 1) {
        b->bad |= g->factory == NULL;
        return;
    }
#if LAMPPOST_CHARTERS > 0
    h->charter = &g->store[i];
    get_charter(b, &g->store[i]);
#else
    b->bad = 1;
#endif
}

static size_t encode(struct lamppost_guard *g, uint32_t generation) {
    struct bytes b = {g->kept, 0, LAMPPOST_KEPT_BYTES, 0}, at = {g->kept + LENGTH_AT, 0, 4, 0};
    unsigned i;
    put(&b, kept_magic, 4), put(&b, generation, 4), put(&b, 0, 4), put(&b, identity(g), 4), put(&b, (uint64_t)g->wall, 8);
    put(&b, g->class, 1), put(&b, g->held_count, 1), put(&b, g->request_count, 1);
    for (i = 0; i < g->held_count; i++) put_held(&b, g, &g->held[i]);
    for (i = 0; i < g->request_count; i++) {
        const struct lamppost_request *r = &g->requests[i];
        put_bytes(&b, r->id, length(r->id)), put_bytes(&b, r->function, length(r->function));
        put(&b, r->level, 1), put(&b, (uint64_t)r->left, 8), put(&b, (uint64_t)r->known, 8);
    }
    put(&at, b.n + SUM_BYTES, 4);
    put(&b, crc32c(0, g->kept, b.n), SUM_BYTES);
    return b.n;
}

/* Reads what encode wrote into g->kept. Returns 0 if it makes no sense. */
static int decode(struct lamppost_guard *g, size_t n) {
    struct bytes b = {g->kept, 16, n - SUM_BYTES, 0};
    uint8_t class;
    unsigned i;
    g->wall = (int64_t)get(&b, 8);
    class = (uint8_t)get(&b, 1), g->held_count = (uint8_t)get(&b, 1), g->request_count = (uint8_t)get(&b, 1);
    if (class > LAMPPOST_ORDINARY || g->held_count > LAMPPOST_HELD || g->request_count > LAMPPOST_REQUESTS) return 0;
    if (rank(&default_of[class]) > rank(&default_of[g->class])) g->class = class;
    for (i = 0; i < g->held_count && !b.bad; i++) get_held(&b, g, i);
    for (i = 0; i < g->request_count && !b.bad; i++) {
        struct lamppost_request *r = &g->requests[i];
        get_text(&b, r->id, LAMPPOST_REQUEST_BYTES), get_text(&b, r->function, LAMPPOST_ID_BYTES);
        r->level = (uint8_t)get(&b, 1), r->left = get_time(&b), r->known = get_time(&b);
    }
    return !b.bad && b.n == b.size;
}

enum { BLANK, BROKEN, WHOLE };

/* Reads a slot into g->kept. */
static int read_slot(struct lamppost_guard *g, unsigned slot, int *is, uint32_t *generation, size_t *n) {
    struct bytes b = {g->kept, 0, HEAD_BYTES, 0};
    size_t i;
    if (g->port.read(g->port.ctx, slot, g->kept, LAMPPOST_KEPT_BYTES) != 0) return LAMPPOST_STORAGE;
    for (i = 1; i < LAMPPOST_KEPT_BYTES && g->kept[i] == g->kept[0]; i++) {
    }
    *is = i == LAMPPOST_KEPT_BYTES && (g->kept[0] == 0xff || g->kept[0] == 0) ? BLANK : BROKEN;
    if (get(&b, 4) != kept_magic) return LAMPPOST_OK;
    *generation = (uint32_t)get(&b, 4), *n = (size_t)get(&b, 4);
    if (*n < HEAD_BYTES + SUM_BYTES || *n > LAMPPOST_KEPT_BYTES) return LAMPPOST_OK;
    b.n = *n - SUM_BYTES, b.size = *n;
    if (get(&b, SUM_BYTES) == crc32c(0, g->kept, *n - SUM_BYTES)) *is = WHOLE;
    return LAMPPOST_OK;
}

int lamppost_guard_keep(struct lamppost_guard *g) {
    uint32_t generation = g->generation + 1, again = 0;
    size_t n = encode(g, generation), m = 0;
    int is = BROKEN;
    if (g->failed || g->damaged) return g->failed ? LAMPPOST_STORAGE : LAMPPOST_DAMAGED;
    g->failed = generation == 0 || g->port.write(g->port.ctx, generation & 1, g->kept, n) != 0 ||
                read_slot(g, generation & 1, &is, &again, &m) != LAMPPOST_OK || is != WHOLE || again != generation || m != n;
    if (g->failed) g->request_count = 0;
    g->generation = generation;
    g->saved = g->mono;
    return g->failed ? LAMPPOST_STORAGE : LAMPPOST_OK;
}

/* The state of a guard that has met nobody. */
static void forget(struct lamppost_guard *g, int64_t mono, int64_t wall) {
    g->request_count = 0, g->failed = 0, g->damaged = 0, g->generation = 0;
    g->silent = LAMPPOST_SILENCE + 1;
    g->mono = mono, g->saved = mono, g->wall = wall;
    g->held_count = g->factory != NULL;
    g->held[0].charter = g->factory, g->held[0].known = 0;
    if (g->class > LAMPPOST_ORDINARY) g->class = LAMPPOST_ESSENTIAL;
}

/* Of another image's table and what is kept, what protects more counts; where no other charter can be taken, the table. */
static void hold_factory(struct lamppost_guard *g) {
    if (g->factory == NULL) return;
    if (g->held_count == 0 || LAMPPOST_CHARTERS == 0) {
        g->held[0].charter = g->factory, g->held[0].known = 0, g->held_count = 1;
        return;
    }
#if LAMPPOST_CHARTERS > 0
    if (g->factory->number > lamppost_guard_charter(g) && !falls(g->factory, g->held[g->held_count - 1].charter)) add_charter(g, g->factory);
#endif
}

/* What passed between two words of a clock. */
static int64_t passed(int64_t now, int64_t then) { return now > then ? (int64_t)((uint64_t)now - (uint64_t)then) : 0; }

/* Continues from the newest of both slots; the other is blank, broken or older. */
static int load(struct lamppost_guard *g, unsigned slot, int other, int64_t wall) {
    struct bytes b = {g->kept, 12, 16, 0};
    size_t n = 0;
    int is, err = read_slot(g, slot, &is, &g->generation, &n);
    if (err != LAMPPOST_OK) return err;
    if (is != WHOLE) return LAMPPOST_DAMAGED;
    if (get(&b, 4) != identity(g)) return LAMPPOST_OTHER;
    if (!decode(g, n)) return LAMPPOST_DAMAGED;
    hold_factory(g);
    if (other == BROKEN) g->request_count = 0;
    is = lamppost_guard_tick(g, 0, passed(wall, g->wall));
    g->wall = wall;
    return is ? lamppost_guard_keep(g) : LAMPPOST_OK;
}

int lamppost_guard_open(struct lamppost_guard *g, int64_t mono, int64_t wall) {
    int is[2] = {BLANK, BLANK}, err = LAMPPOST_OK;
    uint32_t generation[2] = {0, 0};
    unsigned i, newest;
    size_t n;
    forget(g, mono, wall);
    if (g->factory != NULL && !check_charter(g->factory)) err = LAMPPOST_BAD_INPUT;
    for (i = 0; i < 2 && err == LAMPPOST_OK; i++) err = read_slot(g, i, &is[i], &generation[i], &n);
    newest = is[0] != WHOLE || (is[1] == WHOLE && generation[1] > generation[0]);
    if (err == LAMPPOST_OK && is[newest] == WHOLE) err = load(g, newest, is[1 - newest], wall);
    else if (err == LAMPPOST_OK && (is[0] == BROKEN || is[1] == BROKEN)) err = LAMPPOST_DAMAGED;
    if (err != LAMPPOST_OK && !g->failed) g->damaged = 1, g->request_count = 0, g->held_count = 0;
    return err;
}

int lamppost_guard_begin(struct lamppost_guard *g, int64_t mono, int64_t wall) {
    int err;
    forget(g, mono, wall);
    if (g->factory != NULL && !check_charter(g->factory)) {
        g->damaged = 1;
        return LAMPPOST_BAD_INPUT;
    }
    if ((err = lamppost_guard_keep(g)) != LAMPPOST_OK) return err;
    return lamppost_guard_keep(g); /* nothing of what was there is left */
}

static int works(const struct lamppost_guard *g) {
    return g->damaged ? LAMPPOST_DAMAGED : g->failed ? LAMPPOST_STORAGE : LAMPPOST_OK;
}

int lamppost_guard_now(struct lamppost_guard *g, int64_t mono, int64_t wall) {
    int changed = lamppost_guard_tick(g, passed(mono, g->mono), passed(wall, g->wall));
    g->mono = mono, g->wall = wall;
    if (changed || ((g->request_count > 0 || g->held_count > 1) && passed(mono, g->saved) >= LAMPPOST_KEEP_EVERY)) lamppost_guard_keep(g);
    return works(g);
}

int lamppost_guard_hear(struct lamppost_guard *g, struct lamppost_request *asked, size_t n) {
    int err = works(g);
    if (err != LAMPPOST_OK) return err;
    return lamppost_guard_contact(g, asked, n) ? lamppost_guard_keep(g) : LAMPPOST_OK;
}
