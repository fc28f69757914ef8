/* SPDX-License-Identifier: Apache-2.0
 *
 * A street lamp with a guard, which obeys commands, over plain HTTP (a device of its own would use TLS, or MQTT):
 *
 *   POST /v1/enrol     once: the key
 *   POST /v1/guard     every five minutes: what the guard decides, and what is asked of it
 *   GET  /v1/desired   once a second: what it should be like
 *   POST /v1/report    what it did of that, signed, the same bytes until they are committed
 *
 * It prints "level 60" when its light changes, and "acknowledged 7" when the ledger has its word on revision 7. Its charter is the
 * factory's: never below 30 percent. Kept are the guard's two slots; a command is told again after a restart.
 */
#define _POSIX_C_SOURCE 200809L

#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "example.h"
#include "lamppost_command.h"

#ifndef LAMP_ASKS
#define LAMP_ASKS 300 /* seconds between two words of its guard */
#endif

static const struct lamppost_charter charter = {
    .number = 1, .count = 1, .functions = {{.name = "level", .class = LAMPPOST_PUBLIC, .min = 30}}};

static const struct lamppost_commanded commanded[] = {{"level", "%"}};

struct lamp {
    const char *folder, *host, *port;
    char login[256]; /* of HTTP, in base64 */
    struct lamppost *reports;
    struct lamppost_guard guard;
    struct lamppost_commands commands;
    struct lamppost_message message; /* as it comes in */
    struct lamppost_answer answer;
    char tag[40];                    /* of the message before */
    uint8_t waiting[LAMPPOST_BUFFER(LAMPPOST_ACK_READINGS + 1)]; /* report that is not committed yet */
    size_t waiting_bytes;
    uint64_t says; /* the revision that it acknowledges */
    int level;
    int64_t asked; /* when, by the monotonic clock */
};

static volatile sig_atomic_t stopping;

static void stop(int signal) {
    (void)signal;
    stopping = 1;
}

static int64_t clock_ms(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void base64(char *to, const uint8_t *p, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t i;
    int j;
    for (i = 0; i < n; i += 3) {
        unsigned long v = (unsigned long)p[i] << 16 | (i + 1 < n ? p[i + 1] : 0u) << 8 | (i + 2 < n ? p[i + 2] : 0u);
        for (j = 0; j < 4; j++) *to++ = (size_t)j > n - i ? '=' : digits[v >> (18 - 6 * j) & 63];
    }
    *to = 0;
}

/*
 * HTTP/1.0, one request a connection.
 */

struct request {
    const char *method, *path;
    const void *body;
    size_t n;
    char *tag;                  /* sent, and received; NULL: none */
    struct lamppost_json *into; /* reads the answer; NULL: text does */
    char text[256];
};

static FILE *dial(const struct lamp *m) {
    struct addrinfo hints = {0}, *at = NULL;
    struct timeval patience = {10, 0};
    FILE *f = NULL;
    int fd;
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(m->host, m->port, &hints, &at) != 0) return NULL;
    fd = socket(at->ai_family, SOCK_STREAM, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (connect(fd, at->ai_addr, at->ai_addrlen) == 0) f = fdopen(fd, "r+");
        if (f == NULL) close(fd);
    }
    freeaddrinfo(at);
    return f;
}

static int read_answer(FILE *f, struct request *r) {
    char line[512];
    int status = 0;
    size_t n;
    if (fgets(line, sizeof line, f) == NULL || sscanf(line, "HTTP/1.%*d %d", &status) != 1) return 0;
    while (fgets(line, sizeof line, f) != NULL && line[0] != '\r')
        if (r->tag != NULL) sscanf(line, "Etag: %39[^\r\n]", r->tag);
    while ((n = fread(line, 1, sizeof line, f)) > 0) {
        if (r->into != NULL && status == 200) lamppost_read(r->into, line, n);
        strncat(r->text, line, sizeof r->text - 1 - strlen(r->text) < n ? sizeof r->text - 1 - strlen(r->text) : n);
    }
    return ferror(f) ? 0 : status;
}

/* Returns the status, 0 if nobody answered. */
static int ask(const struct lamp *m, struct request *r) {
    FILE *f = dial(m);
    int status = 0;
    if (f == NULL) return 0;
    fprintf(f, "%s %s HTTP/1.0\r\nHost: %s\r\nAuthorization: Basic %s\r\nContent-Length: %zu\r\n", r->method, r->path, m->host, m->login, r->n);
    if (r->tag != NULL && r->tag[0] != 0) fprintf(f, "If-None-Match: %s\r\n", r->tag);
    fprintf(f, "\r\n");
    if (r->n > 0) fwrite(r->body, 1, r->n, f);
    if (fflush(f) == 0) status = read_answer(f, r);
    fclose(f);
    return status;
}

/* The epoch of the key, from the disk or by enrolling it. */
static int enrol(struct lamp *m, const uint8_t point[33]) {
    char body[128] = "{\"suite\":\"es256\",\"key\":\"";
    struct request r = {.method = "POST", .path = "/v1/enrol", .body = body};
    uint8_t kept[4];
    const char *at;
    if (read_file(m->folder, "epoch", kept, sizeof kept) == 0) {
        m->reports->key_epoch = (uint32_t)kept[0] << 24 | (uint32_t)kept[1] << 16 | (uint32_t)kept[2] << 8 | kept[3];
        return 0;
    }
    base64(body + strlen(body), point, 33);
    strcat(body, "\"}");
    r.n = strlen(body);
    if (ask(m, &r) != 200 || (at = strstr(r.text, "\"key_epoch\":")) == NULL) {
        fprintf(stderr, "enrolling: %s\n", r.text);
        return 1;
    }
    m->reports->key_epoch = (uint32_t)strtoul(at + 12, NULL, 10);
    kept[0] = (uint8_t)(m->reports->key_epoch >> 24), kept[1] = (uint8_t)(m->reports->key_epoch >> 16);
    kept[2] = (uint8_t)(m->reports->key_epoch >> 8), kept[3] = (uint8_t)m->reports->key_epoch;
    return write_file(m->folder, "epoch", kept, sizeof kept);
}

/*
 * The guard.
 */

static const char *guard_slot(unsigned slot) { return slot == 0 ? "guard0" : "guard1"; }

static int read_guard(void *ctx, unsigned slot, uint8_t *data, size_t n) {
    const struct lamp *m = ctx;
    memset(data, 0xff, n);
    return read_file(m->folder, guard_slot(slot), data, n) < 0; /* shorter, or none: the rest is like erased flash */
}

static int write_guard(void *ctx, unsigned slot, const uint8_t *data, size_t n) {
    const struct lamp *m = ctx;
    return write_file(m->folder, guard_slot(slot), data, n);
}

/* Opens the guard. With a charter of the factory nothing but counted notice is lost where it cannot be read. */
static int open_guard(struct lamp *m) {
    struct lamppost_guard *g = &m->guard;
    int64_t mono = clock_ms(CLOCK_MONOTONIC), wall = clock_ms(CLOCK_REALTIME);
    int err;
    g->network = m->reports->network, g->device = m->reports->device, g->factory = &charter, g->class = LAMPPOST_PUBLIC;
    g->port = (struct lamppost_guard_port){m, read_guard, write_guard};
    err = lamppost_guard_open(g, mono, wall);
    return err == LAMPPOST_DAMAGED ? lamppost_guard_begin(g, mono, wall) : err;
}

/* Exchanges the guard's word for what is asked of it. */
static void ask_guard(struct lamp *m, int64_t mono) {
    char word[1024];
    struct request r = {.method = "POST", .path = "/v1/guard", .body = word, .into = &m->answer.json};
    if (lamppost_guard_word(&m->guard, word, sizeof word, &r.n) != LAMPPOST_OK) return;
    lamppost_answer_start(&m->answer, m->guard.network);
    if (ask(m, &r) != 200 || lamppost_read_end(&m->answer.json) != LAMPPOST_OK) return;
    m->asked = mono;
    if (lamppost_guard_hear(&m->guard, m->answer.requests, m->answer.count) != LAMPPOST_OK) fprintf(stderr, "the guard cannot be kept\n");
}

/*
 * Commands.
 */

static void ask_desired(struct lamp *m, int64_t mono, int64_t wall) {
    struct request r = {.method = "GET", .path = "/v1/desired?wait=1", .tag = m->tag, .into = &m->message.json};
    int status;
    lamppost_message_start(&m->message);
    status = ask(m, &r);
    if (status != 200 && status != 304) m->tag[0] = 0; /* whoever answers next may have forgotten */
    if (status == 200 && lamppost_read_end(&m->message.json) == LAMPPOST_OK) lamppost_commands_tell(&m->commands, &m->message.desired, mono, wall);
}

/* Signs what it does of the command, and a moment later what its light is. */
static int acknowledge(struct lamp *m, int64_t mono, int64_t wall) {
    struct lamppost_ack ack;
    struct lamppost_reading all[LAMPPOST_ACK_READINGS + 1];
    struct lamppost_report r = {.readings = all, .mono = (uint64_t)mono, .time_quality = LAMPPOST_TIME_INFORMATIVE};
    int err;
    lamppost_commands_ack(&m->commands, &ack, wall / 1000, (uint16_t)(wall % 1000));
    memcpy(all, ack.readings, ack.count * sizeof all[0]);
    all[ack.count] = (struct lamppost_reading){.name = "level", .unit = "%", .seconds = (wall + 1) / 1000, .ms = (uint16_t)((wall + 1) % 1000),
                                               .mantissa = m->level, .kind = LAMPPOST_GAUGE};
    r.count = ack.count + 1;
    if ((err = lamppost_sign(m->reports, &r, m->waiting, sizeof m->waiting, &m->waiting_bytes)) != LAMPPOST_OK) return err;
    m->says = m->commands.revision;
    lamppost_commands_acknowledged(&m->commands);
    return LAMPPOST_OK;
}

/* Sends what waits. A refusal that is final ends it too. */
static void send_report(struct lamp *m) {
    struct request r = {.method = "POST", .path = "/v1/report", .body = m->waiting, .n = m->waiting_bytes};
    int status;
    if (m->waiting_bytes == 0) return;
    status = ask(m, &r);
    if (status == 200) printf("acknowledged %" PRIu64 "\n", m->says);
    if (status == 200 || (status >= 400 && status < 500 && status != 401 && status != 408 && status != 429)) m->waiting_bytes = 0;
    if (m->waiting_bytes == 0 && status != 200) fprintf(stderr, "refused: %s\n", r.text);
}

/* The light: what is commanded, or all of it; and what the guard grants of restrictions in any case. */
static void set_light(struct lamp *m) {
    const struct lamppost_grant *g = lamppost_commands_of(&m->commands, "level");
    int level = g != NULL ? (int)g->mantissa : 100, most = lamppost_guard_level(&m->guard, "level").level;
    if (level > most) level = most;
    if (level != m->level) printf("level %d\n", level);
    m->level = level;
}

static int step(struct lamp *m) {
    int64_t mono = clock_ms(CLOCK_MONOTONIC), wall = clock_ms(CLOCK_REALTIME);
    int todo;
    lamppost_guard_now(&m->guard, mono, wall);
    todo = lamppost_commands_step(&m->commands, mono, wall);
    set_light(m);
    if ((todo & LAMPPOST_ACKNOWLEDGE) && m->waiting_bytes == 0) return acknowledge(m, mono, wall);
    return LAMPPOST_OK;
}

static void wait_a_little(void) {
    struct timespec t = {0, 200000000};
    nanosleep(&t, NULL);
}

int be_lamp(struct lamppost *l, const char *folder, const uint8_t point[33], char **node) {
    static struct lamp m;
    char login[160];
    int err, n = snprintf(login, sizeof login, "%s:%s", l->device, node[2]);
    struct sigaction on_stop = {.sa_handler = stop};
    if (n < 0 || (size_t)n >= sizeof login) return LAMPPOST_BAD_INPUT;
    base64(m.login, (const uint8_t *)login, (size_t)n);
    m.folder = folder, m.host = node[0], m.port = node[1], m.reports = l, m.asked = -1;
    m.commands.guard = &m.guard, m.commands.functions = commanded, m.commands.function_count = 1;
    sigaction(SIGTERM, &on_stop, NULL);
    sigaction(SIGINT, &on_stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (enrol(&m, point) != 0) return LAMPPOST_STORAGE;
    if ((err = open_guard(&m)) != LAMPPOST_OK) return err;
    while (!stopping && err == LAMPPOST_OK) {
        int64_t mono = clock_ms(CLOCK_MONOTONIC);
        if (m.asked < 0 || mono - m.asked >= LAMP_ASKS * 1000) ask_guard(&m, mono);
        if ((err = step(&m)) == LAMPPOST_OK) send_report(&m);
        ask_desired(&m, clock_ms(CLOCK_MONOTONIC), clock_ms(CLOCK_REALTIME));
        if (err == LAMPPOST_OK) err = step(&m);
        send_report(&m);
        fflush(stdout);
        if (m.waiting_bytes > 0 || m.tag[0] == 0) wait_a_little();
    }
    return err;
}
