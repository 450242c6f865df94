/* Integer code: loops, tables, branches that are hard to foretell, indirect jumps, calls. */
#include "program.h"
#include <string.h>

#define LIMIT 4000000
#define SIEVES 6
#define BLOCK 65536
#define CRC_ROUNDS 640
#define SHA_ROUNDS 140
#define SORTED 2000000
#define STEPS 40000000
#define SLOTS (1u << 20)
#define KEYS 600000
#define FIB 36

static uint8_t *composite;

static void sieve_prepare(void) { composite = pages(LIMIT); }

/* What is no prime bears the number of the round, so that nothing has to be cleared. */
static uint64_t sieve(void) {
  uint64_t sum = 0;
  for (int round = 2; round < 2 + SIEVES; round++)
    for (unsigned i = 2; i < LIMIT; i++) {
      if (composite[i] == round) continue;
      sum = mix(sum, i);
      for (uint64_t k = (uint64_t)i * i; k < LIMIT; k += i) composite[k] = round;
    }
  return sum;
}

static uint8_t block[BLOCK];

static void fill_block(void) {
  random_restart();
  for (int i = 0; i < BLOCK; i++) block[i] = random64() >> 24;
}

static uint32_t crc_table[256];

static void crc_prepare(void) {
  fill_block();
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    crc_table[i] = crc;
  }
}

static uint64_t crc32(void) {
  uint32_t crc = ~0u;
  for (int round = 0; round < CRC_ROUNDS; round++)
    for (int i = 0; i < BLOCK; i++) crc = crc_table[(crc ^ block[i]) & 255] ^ crc >> 8;
  return ~crc;
}

/* @spec FIPS 180-4; the constants are the first bits of the cube roots of the first 64 primes. */
static uint32_t sha_constants[64];

static void sha_prepare(void) {
  fill_block();
  unsigned prime = 2;
  for (int i = 0; i < 64; prime++) {
    unsigned divisor = 2;
    while (prime % divisor) divisor++;
    if (divisor != prime) continue;
    /* root^3 <= prime * 2^96 < (root + 1)^3, in 35 bits: three of them are dropped. */
    unsigned __int128 scaled = (unsigned __int128)prime << 96;
    uint64_t root = 0;
    for (int bit = 34; bit >= 0; bit--) {
      unsigned __int128 next = root | 1ull << bit;
      if (next * next * next <= scaled) root = next;
    }
    sha_constants[i++] = (uint32_t)root;
  }
}

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha_block(uint32_t *h, const uint8_t *data) {
  uint32_t w[64], s[8];
  for (int i = 0; i < 16; i++) {
    memcpy(&w[i], data + 4 * i, 4);
    w[i] = __builtin_bswap32(w[i]);
  }
  for (int i = 16; i < 64; i++)
    w[i] = w[i - 16] + (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
           (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
  memcpy(s, h, sizeof s);
  for (int i = 0; i < 64; i++) {
    uint32_t a = s[0], e = s[4];
    uint32_t t = s[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & s[5]) ^ (~e & s[6])) +
                 sha_constants[i] + w[i];
    uint32_t u = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
    memmove(s + 1, s, 7 * sizeof *s);
    s[4] += t;
    s[0] = t + u;
  }
  for (int i = 0; i < 8; i++) h[i] += s[i];
}

static uint64_t sha256(void) {
  uint32_t h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
  for (int round = 0; round < SHA_ROUNDS; round++)
    for (int at = 0; at < BLOCK; at += 64) sha_block(h, block + at);
  return (uint64_t)h[0] << 32 | h[1];
}

static int32_t numbers[SORTED];

static void numbers_prepare(void) {
  random_restart();
  for (int i = 0; i < SORTED; i++) numbers[i] = random64() >> 32;
}

static void sort(int32_t *first, int32_t *last) {
  while (first < last) {
    int32_t pivot = first[(last - first) / 2], *i = first, *k = last;
    while (i <= k) {
      while (*i < pivot) i++;
      while (*k > pivot) k--;
      if (i > k) break;
      int32_t other = *i;
      *i++ = *k;
      *k-- = other;
    }
    sort(first, k);
    first = i;
  }
}

static uint64_t quicksort(void) {
  uint64_t sum = 0;
  sort(numbers, numbers + SORTED - 1);
  for (int i = 0; i < SORTED; i++) sum = mix(sum, numbers[i]);
  return sum;
}

/* A machine with two registers, with a jump of its own behind each step, as interpreters have them. */
static uint64_t bytecode(void) {
  static const uint8_t code[] = { 0, 1, 2, 3, 4, 0, 2, 5, 1, 1, 3, 4, 0, 5, 2, 6 };
  static void *const steps[] = { &&add, &&xor, &&sub, &&inc, &&shift, &&skip, &&loop };
  uint64_t a = 0, x = 1;
  const uint8_t *pc = code;
  unsigned left = STEPS;
#define NEXT if (left-- == 0) return a ^ x; goto *steps[*pc++]
  NEXT;
add: a += x; NEXT;
xor: x ^= a; NEXT;
sub: a -= 3; NEXT;
inc: x += 5; NEXT;
shift: a ^= x << 1 | x >> 63; NEXT;
skip: pc += a & 1; NEXT;
loop: pc = code; NEXT;
}

static uint64_t slots[SLOTS];

static void hash_prepare(void) { memset(slots, 0, sizeof slots); }

static uint64_t *slot(uint64_t key) {
  uint32_t at = key * 0x9e3779b97f4a7c15u >> 44;
  while (slots[at] && slots[at] != key) at = (at + 1) % SLOTS;
  return &slots[at];
}

static uint64_t hash(void) {
  uint64_t sum = 0;
  for (int i = 0; i < KEYS; i++) {
    uint64_t key = random64();
    *slot(key) = key;
  }
  random_restart();
  for (int i = 0; i < KEYS; i++) sum = mix(sum, slot(random64() + (i & 1)) - slots);
  return sum;
}

__attribute__((noinline)) static uint64_t fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

static uint64_t calls(void) { return fib(FIB); }

const struct row rows[] = {
  { "sieve", sieve_prepare, sieve },
  { "crc32", crc_prepare, crc32 },
  { "sha256", sha_prepare, sha256 },
  { "quicksort", numbers_prepare, quicksort },
  { "bytecode", NULL, bytecode },
  { "hash", hash_prepare, hash },
  { "calls", NULL, calls },
  { NULL, NULL, NULL },
};
