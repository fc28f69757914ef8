/* SPDX-License-Identifier: Apache-2.0
 *
 * See lamppost_command.h for what this promises. From the bytes up: JSON, the message to the device, the guard's exchange, commands.
 */
#include "lamppost_command.h"

typedef char lamppost_setpoints_is_sane[LAMPPOST_SETPOINTS >= 1 && LAMPPOST_SETPOINTS <= 16 ? 1 : -1];

static int order(const char *a, const char *b) {
    while (*a != 0 && *a == *b) a++, b++;
    return (uint8_t)*a - (uint8_t)*b;
}

static int same(const char *a, const char *b) { return order(a, b) == 0; }

static int digit(char c) { return c >= '0' && c <= '9'; }

static int alnum(char c) { return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static int check_id(const char *s) {
    size_t i;
    for (i = 0; s[i] != 0; i++)
        if (!alnum(s[i]) && (i == 0 || (s[i] != '.' && s[i] != '_' && s[i] != '-'))) return 0;
    return i >= 1 && i <= LAMPPOST_ID_BYTES;
}

/* Copies a text that fits. */
static void copy(char *to, const char *from) {
    while ((*to++ = *from++) != 0) {
    }
}

/* Reads a whole number without a sign up to most; 0 if it is none. */
static int whole(const char *s, uint64_t most, uint64_t *v) {
    if (!digit(*s)) return 0;
    for (*v = 0; digit(*s); s++) {
        if (*v >> 60 != 0) return 0; /* ten times that would be over any limit here */
        if ((*v = *v * 10 + (unsigned)(*s - '0')) > most) return 0;
    }
    return *s == 0;
}

/*
 * JSON. A text that is too long, and every character that is not ASCII, is kept as a byte that stands in nothing that is looked for.
 */

enum { FIRST_VALUE, VALUE, FIRST_KEY, KEY, COLON, NEXT, DONE, BARE, STRING, ESCAPE, HEX }; /* the last three are in a string */
enum { OPEN_OBJECT, OPEN_ARRAY, CLOSE, QUOTED, PLAIN };                                    /* events; key and text say of what */
enum { DEEPEST = 8, ODD = 0x80 };

static void start(struct lamppost_json *j, int (*on)(struct lamppost_json *, int), uint32_t most) {
    j->on = on, j->bytes = 0, j->most = most, j->may_be_empty = 0;
    j->state = VALUE, j->depth = 0, j->arrays = 0, j->err = LAMPPOST_OK;
}

static void append(struct lamppost_json *j, char c) {
    char *to = j->is_key ? j->key : j->text;
    uint8_t *n = j->is_key ? &j->key_n : &j->text_n, most = j->is_key ? LAMPPOST_ID_BYTES : LAMPPOST_REQUEST_BYTES;
    if (*n == most) to[0] = (char)ODD; /* too long */
    else to[(*n)++] = c;
    to[*n] = 0;
}

static void begin_text(struct lamppost_json *j, int state) {
    j->state = (uint8_t)state;
    if (j->is_key) j->key_n = 0, j->key[0] = 0;
    else j->text_n = 0, j->text[0] = 0;
}

/* Whether a text is null, true, false or a number. */
static int check_plain(const char *s) {
    if (same(s, "null") || same(s, "true") || same(s, "false")) return 1;
    if (*s == '-') s++;
    if (!digit(*s)) return 0;
    if (*s++ != '0')
        while (digit(*s)) s++;
    if (*s == '.') {
        if (!digit(*++s)) return 0;
        while (digit(*s)) s++;
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        if (*s == '+' || *s == '-') s++;
        if (!digit(*s)) return 0;
        while (digit(*s)) s++;
    }
    return *s == 0;
}

static int in_array(const struct lamppost_json *j) { return j->depth > 0 && j->arrays >> (j->depth - 1) & 1; }

static int open_nest(struct lamppost_json *j, int array) {
    if (j->depth == DEEPEST || (j->depth == 0 && array)) return 0;
    j->arrays = (uint8_t)((j->arrays & ~(1u << j->depth)) | (unsigned)array << j->depth);
    j->depth++;
    j->state = array ? FIRST_VALUE : FIRST_KEY;
    return j->on(j, array ? OPEN_ARRAY : OPEN_OBJECT);
}

static int close_nest(struct lamppost_json *j, char c) {
    if (j->depth == 0 || c != (in_array(j) ? ']' : '}')) return 0;
    if (!j->on(j, CLOSE)) return 0;
    j->depth--;
    j->state = j->depth == 0 ? DONE : NEXT;
    return 1;
}

static int begin_value(struct lamppost_json *j, char c) {
    if (c == '{' || c == '[') return open_nest(j, c == '[');
    if (j->depth == 0) return 0; /* an object or nothing */
    j->is_key = 0;
    begin_text(j, c == '"' ? STRING : BARE);
    if (c != '"') append(j, c);
    return c == '"' || c == '-' || alnum(c);
}

static int end_string(struct lamppost_json *j) {
    j->state = j->is_key ? COLON : NEXT;
    return j->is_key || j->on(j, QUOTED);
}

static int escape(struct lamppost_json *j, char c) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int i;
    j->state = STRING;
    if (c == 'u') j->state = HEX, j->hex = 0, j->code = 0;
    for (i = 0; c != 'u' && from[i] != c; i++)
        if (from[i] == 0) return 0;
    if (c != 'u') append(j, to[i]);
    return 1;
}

static int hex(struct lamppost_json *j, char c) {
    int v = digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (v < 0) return 0;
    j->code = (uint16_t)(j->code << 4 | v);
    if (++j->hex < 4) return 1;
    append(j, j->code > 0 && j->code < 0x80 ? (char)j->code : (char)ODD);
    j->state = STRING;
    return 1;
}

static int in_string(struct lamppost_json *j, char c) {
    if (j->state == ESCAPE) return c != 0 && escape(j, c);
    if (j->state == HEX) return hex(j, c);
    if (c == '"') return end_string(j);
    if ((uint8_t)c < 0x20) return 0;
    if (c == '\\') j->state = ESCAPE;
    else append(j, c);
    return 1;
}

static int step(struct lamppost_json *j, char c) {
    if (j->state == BARE) {
        if (alnum(c) || c == '.' || c == '+' || c == '-') {
            append(j, c);
            return 1;
        }
        j->state = NEXT;
        if (!check_plain(j->text) || !j->on(j, PLAIN)) return 0;
    }
    if (j->state >= STRING) return in_string(j, c);
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') return 1;
    switch (j->state) {
    case FIRST_VALUE:
        return c == ']' ? close_nest(j, c) : begin_value(j, c);
    case VALUE:
        return begin_value(j, c);
    case FIRST_KEY:
    case KEY:
        if (c == '}' && j->state == FIRST_KEY) return close_nest(j, c);
        j->is_key = 1;
        begin_text(j, STRING);
        return c == '"';
    case COLON:
        j->state = VALUE;
        return c == ':';
    case NEXT:
        if (c != ',') return close_nest(j, c);
        j->state = in_array(j) ? VALUE : KEY;
        return 1;
    }
    return 0; /* DONE */
}

int lamppost_read(struct lamppost_json *j, const void *data, size_t n) {
    const char *s = data;
    for (; n > 0 && j->err == LAMPPOST_OK; n--) {
        if (j->bytes++ == j->most) j->err = LAMPPOST_TOO_LARGE;
        else if (!step(j, *s++) && j->err == LAMPPOST_OK) j->err = LAMPPOST_BAD_INPUT;
    }
    return j->err;
}

int lamppost_read_end(struct lamppost_json *j) {
    if (j->err == LAMPPOST_OK && j->state != DONE && (j->bytes > 0 || !j->may_be_empty)) j->err = LAMPPOST_BAD_INPUT;
    return j->err;
}

/*
 * The message to the device. The reader is the first member of what it reads into.
 */

enum { REVISION = 1, UNTIL = 2, LEFT = 4 };

static int reserved(const char *key) {
    return same(key, "revision") ? REVISION : same(key, "until_ms") ? UNTIL : same(key, "left_ms") ? LEFT : 0;
}

/* Reads a decimal as the network writes it: no zeros before it, no -0, at most 9 digits after the point. Returns what follows it. */
static const char *decimal(const char *s, struct lamppost_setpoint *p) {
    int negative = *s == '-', point = 0;
    uint64_t v = 0;
    s += negative;
    if (!digit(*s) || (*s == '0' && digit(s[1]))) return NULL;
    for (p->exponent = 0; digit(*s) || (*s == '.' && !point); s++) {
        if (*s == '.') {
            point = 1;
            continue;
        }
        if (v >> 60 != 0 || p->exponent == -9) return NULL;
        if ((v = v * 10 + (unsigned)(*s - '0')) > INT64_MAX) return NULL;
        p->exponent = (int8_t)(p->exponent - point);
    }
    if ((point && p->exponent == 0) || (negative && v == 0)) return NULL;
    p->mantissa = negative ? -(int64_t)v : (int64_t)v;
    return s;
}

/* A value is a decimal, a space and a unit; a level is a whole number and no text. */
static int setpoint(struct lamppost_setpoint *p, const char *text, int event) {
    uint64_t level;
    size_t i;
    if (event == PLAIN) {
        if (!whole(text, 100, &level)) return 0;
        p->mantissa = (int64_t)level, p->exponent = 0;
        copy(p->unit, "%");
        return 1;
    }
    if ((text = decimal(text, p)) == NULL || *text++ != ' ' || same(text, "%")) return 0;
    for (i = 0; text[i] != 0; i++)
        if (text[i] <= ' ' || text[i] > '~' || i == LAMPPOST_UNIT_BYTES) return 0;
    copy(p->unit, text);
    return i > 0;
}

static int add_setpoint(struct lamppost_message *m, int event) {
    struct lamppost_desired *d = &m->desired;
    struct lamppost_setpoint p;
    uint8_t i;
    if (!check_id(m->json.key) || !setpoint(&p, m->json.text, event)) return 0;
    copy(p.name, m->json.key);
    for (i = 0; i < d->count; i++)
        if (same(d->set[i].name, p.name)) return 0; /* nobody knows which of both is meant */
    if (d->count == LAMPPOST_SETPOINTS) {
        m->json.err = LAMPPOST_TOO_LARGE;
        return 0;
    }
    for (i = d->count++; i > 0 && order(d->set[i - 1].name, p.name) > 0; i--) d->set[i] = d->set[i - 1];
    d->set[i] = p;
    return 1;
}

static int on_message(struct lamppost_json *j, int event) {
    struct lamppost_message *m = (struct lamppost_message *)j;
    uint64_t v;
    int is;
    if (j->depth != 1 || event == OPEN_ARRAY) return 0;
    if (event == OPEN_OBJECT || event == CLOSE) return 1;
    if ((is = reserved(j->key)) == 0) return add_setpoint(m, event);
    if (event != PLAIN || (m->seen & is) || !whole(j->text, (UINT64_C(1) << 62) - 1, &v)) return 0;
    m->seen = (uint8_t)(m->seen | is);
    if (is == REVISION) m->desired.revision = v;
    if (is == UNTIL) m->desired.until = (int64_t)v;
    if (is == LEFT) m->desired.left = (int64_t)v;
    return 1;
}

void lamppost_message_start(struct lamppost_message *m) {
    start(&m->json, on_message, LAMPPOST_DESIRED_BYTES);
    m->json.may_be_empty = 1;
    m->seen = 0;
    m->desired.revision = 0, m->desired.until = 0, m->desired.left = 0, m->desired.count = 0;
}

/*
 * The guard's exchange.
 */

enum { NETWORK = 1, REQUESTS = 2 };
enum { ID = 1, FUNCTION = 2, LEVEL = 4, LEFT_MS = 8, ALL_FIELDS = 15 };

static int field_of(const char *key) {
    return same(key, "id") ? ID : same(key, "function") ? FUNCTION : same(key, "level") ? LEVEL : same(key, "left_ms") ? LEFT_MS : 0;
}

/* Whether a text can stand in JSON as it is. */
static int check_request_id(const char *s) {
    size_t i;
    for (i = 0; s[i] != 0; i++)
        if (s[i] <= ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\') return 0;
    return i > 0;
}

static int on_field(struct lamppost_answer *a, int event) {
    struct lamppost_request *r = &a->request;
    const char *text = a->json.text;
    int is = field_of(a->json.key), over = *text == '-';
    uint64_t v = 0;
    if (is == 0) return 1;
    if ((a->fields & is) || event != (is == ID || is == FUNCTION ? QUOTED : PLAIN)) return 0;
    a->fields = (uint8_t)(a->fields | is);
    if (is == ID) {
        if (!check_request_id(text)) return 0;
        copy(r->id, text);
    } else if (is == FUNCTION) {
        if (!check_id(text)) return 0;
        copy(r->function, text);
    } else {
        if (!whole(is == LEFT_MS ? text + over : text, is == LEFT_MS ? INT64_MAX : UINT8_MAX, &v)) return 0;
        if (is == LEVEL) r->level = (uint8_t)v;
        else r->left = over ? 0 : (int64_t)v;
    }
    return 1;
}

static int on_open(struct lamppost_answer *a, int event) {
    int depth = a->json.depth;
    if (depth == 2 && same(a->json.key, "network")) return 0;
    if (depth == 2 && same(a->json.key, "requests")) {
        if (event != OPEN_ARRAY || (a->seen & REQUESTS)) return 0;
        a->seen |= REQUESTS, a->in = 1;
    }
    if (!a->in) return 1;
    if (depth == 3) a->fields = 0;
    return depth == 2 || (depth == 3 && event == OPEN_OBJECT) || (depth > 3 && (depth > 4 || field_of(a->json.key) == 0));
}

static int on_close(struct lamppost_answer *a) {
    int depth = a->json.depth;
    if (depth == 1) return a->seen & NETWORK;
    if (depth == 2) a->in = 0;
    if (depth != 3 || !a->in) return 1;
    if (a->fields != ALL_FIELDS) return 0;
    if (a->count < LAMPPOST_REQUESTS) a->requests[a->count++] = a->request;
    return 1;
}

static int on_answer(struct lamppost_json *j, int event) {
    struct lamppost_answer *a = (struct lamppost_answer *)j;
    if (event == OPEN_OBJECT || event == OPEN_ARRAY) return on_open(a, event);
    if (event == CLOSE) return on_close(a);
    if (a->in) return j->depth == 2 ? 0 : j->depth > 3 || on_field(a, event);
    if (j->depth == 1 && same(j->key, "network")) {
        if (event != QUOTED || (a->seen & NETWORK)) return 0;
        a->seen |= NETWORK;
        if (!same(j->text, a->network)) j->err = LAMPPOST_OTHER;
        return j->err == LAMPPOST_OK;
    }
    if (j->depth != 1 || !same(j->key, "requests")) return 1;
    if (event != PLAIN || !same(j->text, "null") || (a->seen & REQUESTS)) return 0;
    a->seen |= REQUESTS;
    return 1;
}

void lamppost_answer_start(struct lamppost_answer *a, const char *network) {
    start(&a->json, on_answer, UINT32_MAX);
    a->network = network;
    a->count = 0, a->in = 0, a->seen = 0;
}

/* A writer counts beyond its end. */
struct writer {
    char *p;
    size_t size, n;
};

static void put(struct writer *w, const char *s) {
    for (; *s != 0; s++, w->n++)
        if (w->n < w->size) w->p[w->n] = *s;
}

/* Divides by ten and returns the rest, by 16 bits at a time: small machines have no division of 64. */
static unsigned divide(uint64_t *v) {
    uint64_t q = 0;
    uint32_t rest = 0;
    int shift;
    for (shift = 48; shift >= 0; shift -= 16) {
        rest = rest << 16 | (uint32_t)(*v >> shift & 0xffff);
        q |= (uint64_t)(rest / 10) << shift;
        rest %= 10;
    }
    *v = q;
    return rest;
}

static void put_number(struct writer *w, const char *name, uint64_t v) {
    char digits[21];
    int i = 20;
    digits[i] = 0;
    do digits[--i] = (char)('0' + divide(&v));
    while (v > 0);
    put(w, name), put(w, &digits[i]);
}

static void put_decision(struct writer *w, const struct lamppost_guard *g, const char *function) {
    static const char *const classes[] = {"essential", "life", "public", "ordinary"};
    static const char *const whys[] = {"", "life", "minimum", "offline", "notice", "grace", "ended", "unasked"};
    struct lamppost_decision d = lamppost_guard_level(g, function);
    put(w, "{\"function\":\""), put(w, function), put(w, "\",\"class\":\""), put(w, classes[d.class]);
    put_number(w, "\",\"level\":", d.level);
    if (d.request != NULL) put(w, ",\"request\":\""), put(w, d.request->id), put_number(w, "\",\"asked\":", d.request->level);
    if (d.why != LAMPPOST_GRANTED) put(w, ",\"why\":\""), put(w, whys[d.why]), put(w, "\"");
    if (d.after > 0) put_number(w, ",\"after_ms\":", (uint64_t)d.after);
    put(w, "}");
}

/* The functions in charters that count, then those that are asked for; NULL beyond the last. */
static const char *name_at(const struct lamppost_guard *g, size_t i) {
    unsigned j;
    for (j = 0; j < g->held_count; i -= g->held[j++].charter->count)
        if (i < g->held[j].charter->count) return g->held[j].charter->functions[i].name;
    return i < g->request_count ? g->requests[i].function : NULL;
}

int lamppost_guard_word(const struct lamppost_guard *g, char *out, size_t size, size_t *n) {
    struct writer w = {NULL, 0, 0};
    const char *name, *comma = "";
    size_t i, j;
    w.p = out, w.size = size;
    put_number(&w, "{\"charter\":", lamppost_guard_charter(g));
    put(&w, lamppost_guard_online(g) ? ",\"online\":true,\"decisions\":[" : ",\"online\":false,\"decisions\":[");
    for (i = 0; (name = name_at(g, i)) != NULL; i++) {
        for (j = 0; !same(name_at(g, j), name); j++) {
        }
        if (j < i) continue; /* it was there */
        put(&w, comma), put_decision(&w, g, name);
        comma = ",";
    }
    put(&w, "]}");
    *n = w.n;
    return w.n <= size ? LAMPPOST_OK : LAMPPOST_TOO_SMALL;
}

/*
 * Commands.
 */

struct lamppost_grant lamppost_guard_command(const struct lamppost_guard *g, const struct lamppost_setpoint *want) {
    struct lamppost_decision least = lamppost_guard_least(g, want->name), most = lamppost_guard_level(g, want->name);
    struct lamppost_grant got = {1, LAMPPOST_AS_DESIRED, 0, 0};
    int level = same(want->unit, "%");
    int64_t percent = level ? want->mantissa : 0; /* of a value in another unit nobody knows how far it restricts */
    got.mantissa = want->mantissa, got.exponent = want->exponent;
    if (percent < least.level)
        got.why = least.why == LAMPPOST_BY_LIFE      ? LAMPPOST_IS_LIFE
                  : least.why == LAMPPOST_BY_MINIMUM ? LAMPPOST_IS_MINIMUM
                                                     : LAMPPOST_IS_UNASKED;
    else if (most.level < 100 && (!level || percent > most.level)) got.why = LAMPPOST_IS_ASKED;
    if (got.why == LAMPPOST_AS_DESIRED) return got;
    got.granted = (uint8_t)level;
    if (percent > most.level) percent = most.level;
    got.mantissa = !level ? 0 : percent < least.level ? least.level : percent;
    got.exponent = 0;
    return got;
}

static int64_t passed(int64_t now, int64_t then) { return now > then ? (int64_t)((uint64_t)now - (uint64_t)then) : 0; }

/* Ends what is over. Of two clocks the faster does. */
static void expire(struct lamppost_commands *c, int64_t mono, int64_t wall) {
    struct lamppost_desired *d = &c->desired;
    if (d->left > 0 && (passed(mono, c->mono) >= d->left || passed(wall, c->wall) >= d->left)) d->count = 0, d->left = 0, d->until = 0;
}

int lamppost_commands_tell(struct lamppost_commands *c, const struct lamppost_desired *d, int64_t mono, int64_t wall) {
    const int64_t most = 7 * 24 * LAMPPOST_HOUR;
    expire(c, mono, wall);
    if (d->revision != 0 && d->revision < c->desired.revision && c->desired.count > 0) return LAMPPOST_OLD;
    c->desired = *d;
    if (d->revision != 0 && d->left == 0) c->desired.count = 0; /* a command always has an end */
    if (c->desired.left > most) c->desired.left = most;
    c->mono = mono, c->wall = wall;
    c->told = 1;
    return LAMPPOST_OK;
}

static struct lamppost_grant decide(const struct lamppost_commands *c, const struct lamppost_setpoint *want) {
    struct lamppost_grant none = {0, LAMPPOST_IS_UNKNOWN, 0, 0};
    unsigned i;
    for (i = 0; i < c->function_count; i++) {
        if (!same(c->functions[i].function, want->name) || !same(c->functions[i].unit, want->unit)) continue;
        if (!c->stopped) return lamppost_guard_command(c->guard, want);
        none.why = LAMPPOST_IS_STOPPED;
    }
    return none;
}

int lamppost_commands_step(struct lamppost_commands *c, int64_t mono, int64_t wall) {
    const struct lamppost_desired *d = &c->desired;
    int other, ended;
    uint8_t i;
    expire(c, mono, wall);
    other = c->told || d->count != c->count;
    ended = !c->told && d->count == 0; /* which nobody is told of: all know when it is */
    for (i = 0; i < d->count; i++) {
        struct lamppost_grant now = decide(c, &d->set[i]), *was = &c->grants[i];
        other = other || now.granted != was->granted || now.why != was->why || now.mantissa != was->mantissa || now.exponent != was->exponent;
        *was = now;
    }
    if (d->revision != 0 && other && !ended) c->owed = 1;
    c->told = 0, c->count = d->count, c->revision = d->revision;
    return (other ? LAMPPOST_APPLY : 0) | (c->owed ? LAMPPOST_ACKNOWLEDGE : 0);
}

const struct lamppost_grant *lamppost_commands_of(const struct lamppost_commands *c, const char *function) {
    unsigned i;
    for (i = 0; i < c->count; i++)
        if (same(c->desired.set[i].name, function) && c->grants[i].granted) return &c->grants[i];
    return NULL;
}

static char *join(char *to, const char *a, const char *b, const char *end) {
    struct writer w = {NULL, LAMPPOST_ACK_NAME_BYTES, 0};
    w.p = to;
    put(&w, a), put(&w, b), put(&w, end);
    to[w.n] = 0;
    return to;
}

void lamppost_commands_ack(const struct lamppost_commands *c, struct lamppost_ack *a, int64_t seconds, uint16_t ms) {
    struct lamppost_reading r = {"desired", "", 0, 0, 0, 0, LAMPPOST_GAUGE, LAMPPOST_MEASURED};
    uint8_t i;
    r.seconds = seconds, r.ms = ms;
    r.mantissa = (int64_t)c->revision;
    a->readings[0] = r;
    a->count = 1;
    for (i = 0; i < c->count; i++) {
        const struct lamppost_setpoint *want = &c->desired.set[i];
        r.name = join(a->names[2 * i], "desired.", want->name, ""), r.unit = want->unit;
        r.mantissa = c->grants[i].mantissa, r.exponent = c->grants[i].exponent;
        if (c->grants[i].granted) a->readings[a->count++] = r;
        r.name = join(a->names[2 * i + 1], "desired.", want->name, ".why"), r.unit = "";
        r.mantissa = c->grants[i].why, r.exponent = 0;
        if (c->grants[i].why != LAMPPOST_AS_DESIRED) a->readings[a->count++] = r;
    }
}

void lamppost_commands_acknowledged(struct lamppost_commands *c) { c->owed = 0; }
