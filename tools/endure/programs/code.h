/** Random machine code whose result any CPU must agree on. */
#include <stddef.h>
#include <stdint.h>

/** Bytes that a function of `writeCode` takes at most, with what it calls. */
enum { CODE_BYTES = 3 * 4096 };

/** Calls with the number of times its loop is to run, a number to begin with, and MEMORY_WORDS words. */
typedef uint64_t function(uint64_t times, uint64_t x, uint64_t *memory);
enum { MEMORY_WORDS = 16 };

/** The next number of a sequence. */
uint32_t chance(uint64_t *state);
/**
 * Writes a function that is to run at the start of CODE_BYTES of memory, a loop that calls two others on its other pages;
 * answers where in it there are four bytes (of an immediate) that can be any.
 */
size_t writeCode(uint8_t *to, uint64_t *state);
