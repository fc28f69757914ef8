/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two files of the example share.
 */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include "lamppost.h"

/* Reads a file of n bytes: 0 if that succeeds, 1 if there is none or a shorter one, -1 if nobody can tell. */
int read_file(const char *folder, const char *name, uint8_t *data, size_t n);

/* Replaces the first n bytes of a file, durably. Returns 0 if that succeeded. */
int write_file(const char *folder, const char *name, const uint8_t *data, size_t n);

/* Is a lamp until SIGTERM. point is the public key, node is host, port and token. */
int be_lamp(struct lamppost *l, const char *folder, const uint8_t point[33], char **node);

#endif
