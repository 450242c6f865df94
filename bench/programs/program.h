/*
 * A benchmark program is a family of rows, in a file of its own; program.c runs those that its arguments name. Nothing
 * timed is left to the C library where it could choose by the CPU (memcpy, qsort): both machines run the same code.
 */
#include <stddef.h>
#include <stdint.h>

struct row {
  const char *name;
  /* Fills the row's memory, before the clock starts; may be NULL. */
  void (*prepare)(void);
  /* The work; returns a checksum of all that came out of it. */
  uint64_t (*run)(void);
};

/* The family's rows; the last one has no name. */
extern const struct row rows[];

/* The same numbers everywhere: xorshift64, from a fixed seed; `random_restart` begins anew. */
uint64_t random64(void);
void random_restart(void);

/* Memory in pages of 4 KiB that are there already: whether Linux finds larger ones is luck. */
void *pages(size_t size);

/* Goes on with a checksum. */
static inline uint64_t mix(uint64_t sum, uint64_t value) {
  return (sum ^ value) * 0x9e3779b97f4a7c15u + (sum >> 29);
}
