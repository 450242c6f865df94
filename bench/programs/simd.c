/* Vectors of 16 bytes, by hand. */
#include "program.h"
#include <tmmintrin.h>

#define MIB 1048576
#define COPIED (64 * MIB)
#define COPIES 4
#define LENGTH 4096
#define PRODUCTS 12000
#define COUNTED 65536
#define COUNTS 1800
/* Bytes between those that are looked at afterwards. */
#define STRIDE 4093

static uint8_t *from, *to;

static void copy_prepare(void) {
  from = pages(COPIED);
  to = pages(COPIED);
  random_restart();
  for (size_t at = 0; at < COPIED; at += STRIDE) from[at] = random64();
}

static uint64_t copy(void) {
  uint64_t sum = 0;
  for (int round = 0; round < COPIES; round++)
    for (size_t at = 0; at < COPIED; at += 64) {
      const __m128i *source = (const __m128i *)(from + at);
      __m128i *target = (__m128i *)(to + at);
      __m128i a = _mm_load_si128(source), b = _mm_load_si128(source + 1);
      __m128i c = _mm_load_si128(source + 2), d = _mm_load_si128(source + 3);
      _mm_store_si128(target, a);
      _mm_store_si128(target + 1, b);
      _mm_store_si128(target + 2, c);
      _mm_store_si128(target + 3, d);
    }
  for (size_t at = 0; at < COPIED; at += STRIDE) sum = mix(sum, to[at]);
  return sum;
}

static float left[LENGTH], right[LENGTH];

static void dot_prepare(void) {
  random_restart();
  for (int i = 0; i < LENGTH; i++) {
    left[i] = (int16_t)random64() / 256.0f;
    right[i] = (int16_t)random64() / 256.0f;
  }
}

static uint64_t dot(void) {
  uint64_t sum = 0;
  __m128 total = _mm_setzero_ps();
  for (int round = 0; round < PRODUCTS; round++) {
    for (int i = 0; i < LENGTH; i += 4)
      total = _mm_add_ps(total, _mm_mul_ps(_mm_loadu_ps(left + i), _mm_loadu_ps(right + i)));
    sum = mix(sum, _mm_cvtsi128_si64(_mm_castps_si128(total)));
  }
  return sum;
}

_Alignas(16) static uint8_t bytes[COUNTED];

static void shuffle_prepare(void) {
  random_restart();
  for (int i = 0; i < COUNTED; i++) bytes[i] = random64() >> 16;
}

/* Counts the bits that are set: PSHUFB looks up half bytes, sixteen at a time. */
__attribute__((target("ssse3"))) static uint64_t shuffle(void) {
  const __m128i table = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m128i low = _mm_set1_epi8(15);
  uint64_t sum = 0;
  for (int round = 0; round < COUNTS; round++) {
    __m128i total = _mm_setzero_si128();
    for (int i = 0; i < COUNTED; i += 16) {
      __m128i eight = _mm_xor_si128(_mm_load_si128((const __m128i *)(bytes + i)), _mm_set1_epi8(round));
      __m128i a = _mm_shuffle_epi8(table, _mm_and_si128(eight, low));
      __m128i b = _mm_shuffle_epi8(table, _mm_and_si128(_mm_srli_epi16(eight, 4), low));
      total = _mm_add_epi64(total, _mm_sad_epu8(_mm_add_epi8(a, b), _mm_setzero_si128()));
    }
    sum = mix(sum, _mm_cvtsi128_si64(total));
  }
  return sum;
}

const struct row rows[] = {
  { "copy", copy_prepare, copy },
  { "dot", dot_prepare, dot },
  { "shuffle", shuffle_prepare, shuffle },
  { NULL, NULL, NULL },
};
