/* SPDX-License-Identifier: Apache-2.0
 *
 * A device on Linux, with the P-256 of Mbed TLS 2.28:
 *
 *   cc -std=c99 -O2 example_mbedtls.c example_lamp.c lamppost.c lamppost_guard.c lamppost_command.c -lmbedcrypto -o example
 *   ./example FOLDER NETWORK DEVICE COUNT
 *
 * prints "key <public key>" and then COUNT lines "report <bytes>", all in hexadecimal. FOLDER, which must exist, keeps
 * the key and the two slots. The network must know the device with the key first: docs/devices.md. Then
 *
 *   ./example FOLDER NETWORK DEVICE 1 | sed -n 's/^report //p' | xxd -r -p |
 *       curl -u DEVICE:TOKEN --data-binary @- http://127.0.0.1:8080/v1/report
 *
 * With more words it is a lamp that has a guard and obeys commands, see example_lamp.c:
 *
 *   ./example FOLDER NETWORK DEVICE HOST PORT TOKEN
 *
 * A device of its own would put the key into a secure element, or at least where only its signing code can read it.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecdsa.h>
#include <mbedtls/entropy.h>
#include <mbedtls/sha256.h>

#include "example.h"

struct machine {
    const char *folder;
    mbedtls_ecp_keypair key;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
};

static int open_file(const char *folder, const char *name, int flags) {
    char path[512];
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    return n < 0 || (size_t)n >= sizeof path ? -1 : open(path, flags, 0600);
}

/* Reads a file of n bytes: 0 if that succeeds, 1 if there is none or a shorter one, -1 if nobody can tell. */
int read_file(const char *folder, const char *name, uint8_t *data, size_t n) {
    int fd = open_file(folder, name, O_RDONLY);
    ssize_t got;
    if (fd < 0) return errno == ENOENT ? 1 : -1;
    got = read(fd, data, n);
    close(fd);
    return got == (ssize_t)n ? 0 : got < 0 ? -1 : 1;
}

/* Replaces a file, durably: the folder is synced too, for the first time that the file is there. */
int write_file(const char *folder, const char *name, const uint8_t *data, size_t n) {
    int fd = open_file(folder, name, O_WRONLY | O_CREAT), dir = open(folder, O_RDONLY), ok;
    ok = fd >= 0 && dir >= 0 && write(fd, data, n) == (ssize_t)n && fsync(fd) == 0 && fsync(dir) == 0;
    if (fd >= 0) close(fd);
    if (dir >= 0) close(dir);
    return !ok;
}

static const char *slot_name(unsigned slot) { return slot == 0 ? "slot0" : "slot1"; }

static int read_slot(void *ctx, unsigned slot, uint8_t data[LAMPPOST_SLOT_BYTES]) {
    const struct machine *m = ctx;
    memset(data, 0xff, LAMPPOST_SLOT_BYTES);
    return read_file(m->folder, slot_name(slot), data, LAMPPOST_SLOT_BYTES) < 0; /* a missing one is like erased flash */
}

static int write_slot(void *ctx, unsigned slot, const uint8_t data[LAMPPOST_SLOT_BYTES]) {
    const struct machine *m = ctx;
    return write_file(m->folder, slot_name(slot), data, LAMPPOST_SLOT_BYTES);
}

/* The deterministic signature of RFC 6979; the random numbers only blind the computation. */
static int sign(void *ctx, uint8_t rs[64], const uint8_t *msg, size_t n) {
    struct machine *m = ctx;
    uint8_t hash[32];
    mbedtls_mpi r, s;
    int err = mbedtls_sha256_ret(msg, n, hash, 0);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    if (err == 0)
        err = mbedtls_ecdsa_sign_det_ext(&m->key.grp, &r, &s, &m->key.d, hash, sizeof hash, MBEDTLS_MD_SHA256,
                                         mbedtls_ctr_drbg_random, &m->random);
    if (err == 0) err = mbedtls_mpi_write_binary(&r, rs, 32);
    if (err == 0) err = mbedtls_mpi_write_binary(&s, rs + 32, 32);
    mbedtls_mpi_free(&r);
    mbedtls_mpi_free(&s);
    return err;
}

/* Reads the device's key or makes one; *made says which. */
static int load_key(struct machine *m, int *made) {
    uint8_t d[32];
    int err = mbedtls_ecp_group_load(&m->key.grp, MBEDTLS_ECP_DP_SECP256R1), found = read_file(m->folder, "key", d, sizeof d);
    if (found < 0) return -1;
    *made = found != 0;
    if (err == 0 && *made) err = mbedtls_ecp_gen_privkey(&m->key.grp, &m->key.d, mbedtls_ctr_drbg_random, &m->random);
    if (err == 0 && !*made) err = mbedtls_mpi_read_binary(&m->key.d, d, sizeof d);
    if (err == 0) err = mbedtls_ecp_check_privkey(&m->key.grp, &m->key.d);
    if (err == 0) err = mbedtls_ecp_mul(&m->key.grp, &m->key.Q, &m->key.d, &m->key.grp.G, mbedtls_ctr_drbg_random, &m->random);
    if (err == 0 && *made) err = mbedtls_mpi_write_binary(&m->key.d, d, sizeof d);
    return err;
}

static int save_key(const struct machine *m) {
    uint8_t d[32];
    return mbedtls_mpi_write_binary(&m->key.d, d, sizeof d) != 0 || write_file(m->folder, "key", d, sizeof d);
}

static void print_hex(const char *what, const uint8_t *p, size_t n) {
    printf("%s ", what);
    while (n-- > 0) printf("%02x", *p++);
    printf("\n");
}

/* The public key, as it is enrolled. */
static int write_key(struct machine *m, uint8_t point[33]) {
    size_t n;
    return mbedtls_ecp_point_write_binary(&m->key.grp, &m->key.Q, MBEDTLS_ECP_PF_COMPRESSED, &n, point, 33) != 0;
}

/* Signs count reports of a register that nobody measured. */
static int reports(struct lamppost *l, unsigned long count) {
    struct timespec start, now;
    unsigned long i;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (i = 0; i < count; i++) {
        struct lamppost_reading energy = {.name = "energy", .unit = "Wh", .seconds = time(NULL), .exponent = -1};
        struct lamppost_report r = {.readings = &energy, .count = 1, .time_quality = LAMPPOST_TIME_INFORMATIVE};
        uint8_t out[LAMPPOST_BUFFER(1)];
        size_t n;
        int err;
        clock_gettime(CLOCK_MONOTONIC, &now);
        r.mono = (uint64_t)((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000);
        energy.mantissa = (int64_t)l->next * 15; /* 1.5 Wh a report */
        if ((err = lamppost_sign(l, &r, out, sizeof out, &n)) != LAMPPOST_OK) return err;
        print_hex("report", out, n);
        fflush(stdout);
    }
    return LAMPPOST_OK;
}

/* A new key begins new numbers. The numbers are durable before the key, so that a key on disk always has them. */
static int start(struct machine *m, struct lamppost *l) {
    int made, err = load_key(m, &made);
    if (err != 0) return LAMPPOST_SIGNING;
    if (!made) return lamppost_open(l);
    err = lamppost_begin(l);
    return err == LAMPPOST_OK && save_key(m) ? LAMPPOST_STORAGE : err;
}

int main(int argc, char **argv) {
    struct machine m = {0};
    struct lamppost l = {0};
    uint8_t point[33];
    int err;
    if (argc != 5 && argc != 7) {
        fprintf(stderr, "usage: %s FOLDER NETWORK DEVICE COUNT | FOLDER NETWORK DEVICE HOST PORT TOKEN\n", argv[0]);
        return 2;
    }
    m.folder = argv[1];
    mbedtls_ecp_keypair_init(&m.key);
    mbedtls_entropy_init(&m.entropy);
    mbedtls_ctr_drbg_init(&m.random);
    l.network = argv[2], l.device = argv[3], l.seq_epoch = 1;
    l.port = (struct lamppost_port){&m, sign, read_slot, write_slot};
    err = mbedtls_ctr_drbg_seed(&m.random, mbedtls_entropy_func, &m.entropy, NULL, 0) == 0 ? start(&m, &l) : LAMPPOST_SIGNING;
    if (err == LAMPPOST_OK && write_key(&m, point) != 0) err = LAMPPOST_SIGNING;
    if (err == LAMPPOST_OK) print_hex("key", point, sizeof point);
    if (err == LAMPPOST_OK) err = argc == 5 ? reports(&l, strtoul(argv[4], NULL, 10)) : be_lamp(&l, argv[1], point, argv + 4);
    if (err == LAMPPOST_OK) err = lamppost_close(&l);
    if (err != LAMPPOST_OK) fprintf(stderr, "%s: error %d, see lamppost.h\n", argv[0], err);
    mbedtls_ecp_keypair_free(&m.key);
    mbedtls_ctr_drbg_free(&m.random);
    mbedtls_entropy_free(&m.entropy);
    return err != LAMPPOST_OK;
}
