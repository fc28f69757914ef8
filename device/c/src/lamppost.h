/* SPDX-License-Identifier: Apache-2.0
 *
 * Reports of a machine without an operating system: what docs/formats.md calls a report, made in a buffer of the
 * caller's, and its number kept in flash through power losses at any moment.
 *
 * It promises that
 *   - the bytes are those that the network expects, deterministic CBOR, or there is an error and no report;
 *   - a number is never used for two reports, as long as the two slots are kept;
 *   - it allocates nothing, keeps nothing outside the caller's struct lamppost and waits for nothing.
 *
 * It does not send reports or keep those that are not acknowledged: send the same bytes again until they are. Registers
 * are cumulative, so a report that was lost is made up for by the next.
 *
 * Start at lamppost_open and lamppost_sign; example_mbedtls.c is a whole program. Calls for one struct lamppost must
 * not overlap: with several tasks, or from an interrupt, hold a lock.
 */
#ifndef LAMPPOST_H
#define LAMPPOST_H

#include <stddef.h>
#include <stdint.h>

/* How many numbers one write to flash reserves: a device with one report a minute writes every 64 minutes. A crash skips
 * at most so many, twice as many if the power failed during the write itself. Raise it where reports are frequent; a
 * later firmware may raise it and must never lower it. */
#ifndef LAMPPOST_RESERVE
#define LAMPPOST_RESERVE 64
#endif

enum {
    LAMPPOST_ID_BYTES = 40,        /* most in a network's or device's id */
    LAMPPOST_NAME_BYTES = 64,      /* most in a reading's name */
    LAMPPOST_UNIT_BYTES = 16,      /* most in its unit */
    LAMPPOST_READINGS = 512,       /* most in a report */
    LAMPPOST_REPORT_BYTES = 16384, /* most in a report with its envelope */
    LAMPPOST_SLOT_BYTES = 32
};

/* Bytes that are enough for the buffer of any report of n readings. Reports of short names need about half. */
#define LAMPPOST_BUFFER(n) (176 + 118 * (size_t)(n))

/* What functions return. */
enum {
    LAMPPOST_OK,
    LAMPPOST_BAD_INPUT,  /* the network would refuse this: see the field's comment */
    LAMPPOST_TOO_SMALL,  /* the buffer: *n says what is needed */
    LAMPPOST_TOO_LARGE,  /* a report over LAMPPOST_REPORT_BYTES: use fewer readings */
    LAMPPOST_STORAGE,    /* a slot could not be read, or did not hold what was written to it */
    LAMPPOST_NO_NUMBERS, /* no slot holds numbers: see lamppost_begin */
    LAMPPOST_OTHER,      /* the slots belong to another device or network */
    LAMPPOST_EPOCH,      /* the slots have numbers of a higher epoch than seq_epoch; or this epoch has none left */
    LAMPPOST_SIGNING,    /* the callback failed, or its result is no signature */
    LAMPPOST_CLOSED      /* lamppost_open has not succeeded */
};

/* What the library needs of the machine. Every function returns 0 if it succeeded. */
struct lamppost_port {
    void *ctx; /* passed on */

    /* Signs the SHA-256 of n bytes with the device's P-256 key: rs = r, then s, 32 bytes each, big-endian. Any s will do,
     * the library makes it the lower one. The message stands in the buffer of the report. */
    int (*sign)(void *ctx, uint8_t rs[64], const uint8_t *msg, size_t n);

    /* Reads slot 0 or 1. A slot that was never written or only in part is no error: give what is there. An error that
     * may pass must be an error, or numbers are skipped. */
    int (*read)(void *ctx, unsigned slot, uint8_t data[LAMPPOST_SLOT_BYTES]);

    /* Replaces slot 0 or 1, erasing its page first where that is needed; the other must not change, so they stand in
     * different pages. The slot is durable when this returns. */
    int (*write)(void *ctx, unsigned slot, const uint8_t data[LAMPPOST_SLOT_BYTES]);
};

/* A device. The caller sets the first part, which must stay unchanged while it is open; the rest is the library's. */
struct lamppost {
    const char *network; /* id: 1 to 40 of A-Z a-z 0-9 . _ -, the first a letter or digit */
    const char *device;  /* id */
    uint32_t key_epoch;  /* as enrolling the key returned it */
    uint32_t seq_epoch;  /* from 1 by convention; raise it when the numbers were lost or the key is new */
    struct lamppost_port port;

    uint64_t next;       /* number of the next report */
    uint64_t reserved;   /* numbers up to here are durable */
    uint32_t generation; /* of the newest slot; its last bit names the slot */
    uint32_t boot;       /* boot id of this start */
    uint8_t open;
};

/* How readings of one name add up. */
enum { LAMPPOST_REGISTER, LAMPPOST_GAUGE, LAMPPOST_INTERVAL };

/* Where a value comes from. */
enum { LAMPPOST_MEASURED, LAMPPOST_ESTIMATED, LAMPPOST_SUBSTITUTED, LAMPPOST_FAULTY };

/* How far the clock can be trusted. */
enum { LAMPPOST_TIME_UNKNOWN, LAMPPOST_TIME_RELATIVE, LAMPPOST_TIME_INFORMATIVE, LAMPPOST_TIME_SYNCHRONISED };

/* One value: mantissa * 10^exponent. 12.50 kWh is { "energy", "kWh", s, 1250, 0, -2, 0, 0 }; all zeros of it are signed. */
struct lamppost_reading {
    const char *name; /* 1 to 64 bytes of UTF-8 */
    const char *unit; /* 0 to 16 bytes of UTF-8; SenML's, e.g. "Wh" (RFC 8428 section 12.1) */
    int64_t seconds;  /* since 1970-01-01T00:00Z without leap seconds, or since boot; below 2^43, with ms below 2^53 ms */
    int64_t mantissa; /* not -2^63 */
    uint16_t ms;      /* 0 to 999, to be added to seconds */
    int8_t exponent;  /* -9 to 0 */
    uint8_t kind;     /* LAMPPOST_REGISTER if 0 */
    uint8_t quality;  /* LAMPPOST_MEASURED if 0 */
};

/* What a report says. */
struct lamppost_report {
    const struct lamppost_reading *readings;
    size_t count;         /* 1 to 512 */
    uint64_t mono;        /* milliseconds since the device's start, below 2^63 */
    uint8_t time_quality; /* LAMPPOST_TIME_UNKNOWN if 0 */
    uint8_t billing;      /* 1: registers at UTC quarter hours, kept for bills */
};

/* Continues the numbers after a start. Nothing is written before the first report. LAMPPOST_NO_NUMBERS means that neither
 * slot can be read: a device that starts for the first time, or whose flash was wiped or damaged; only the caller can
 * tell which. */
int lamppost_open(struct lamppost *l);

/* As lamppost_open, but begins at number 1 if no slot holds numbers of this device. Call it where the key is made,
 * before it is enrolled, so that numbers are as old as the key; if the power fails, call it again. To call it at every
 * start is a mistake: after damage, numbers would be used twice and the network would quarantine the device. If numbers
 * were lost, raise seq_epoch first. */
int lamppost_begin(struct lamppost *l);

/* Writes a signed report to out, which has room for size bytes, and its length to *n. The number is used up if
 * LAMPPOST_OK is returned, and only then; out is meaningless otherwise. */
int lamppost_sign(struct lamppost *l, const struct lamppost_report *r, uint8_t *out, size_t size, size_t *n);

/* Gives back the numbers that were reserved and not used, so that a planned stop leaves no gap. One write. */
int lamppost_close(struct lamppost *l);

#endif
