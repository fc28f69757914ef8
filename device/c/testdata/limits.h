/* The limits of the network, for guard.c to be held against package guard; and a silence that a test sets. */
#include <stdint.h>

#define LAMPPOST_FUNCTIONS 8
#define LAMPPOST_REQUESTS 16
#ifndef LAMPPOST_CHARTERS
#define LAMPPOST_CHARTERS 4
#endif
#define LAMPPOST_SETPOINTS 16
#define LAMPPOST_KEEP_EVERY INT64_C(600000)

extern int64_t test_silence;
#define LAMPPOST_SILENCE test_silence
