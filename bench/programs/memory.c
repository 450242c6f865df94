/* Memory beyond the caches and the TLB. */
#include "program.h"

#define MIB 1048576
#define CHASED (32 * MIB / sizeof(struct node))
#define HOPS 2000000
#define WORDS (256 * MIB / 8)
#define WRITES 2000000
#define LOOKS 100000
#define MOVED (32 * MIB)
#define STRIDE 4093

/* A cache line. */
struct node {
  struct node *next;
  uint64_t value[7];
};

static struct node *nodes;

/* One ring through all nodes in random order (Sattolo's shuffle). */
static void chase_prepare(void) {
  nodes = pages(CHASED * sizeof(struct node));
  random_restart();
  for (size_t i = 0; i < CHASED; i++) {
    nodes[i].next = &nodes[i];
    nodes[i].value[0] = random64();
  }
  for (size_t i = CHASED - 1; i > 0; i--) {
    size_t k = random64() % i;
    struct node *other = nodes[i].next;
    nodes[i].next = nodes[k].next;
    nodes[k].next = other;
  }
}

static uint64_t chase(void) {
  uint64_t sum = 0;
  const struct node *at = nodes;
  for (int i = 0; i < HOPS; i++) {
    sum += at->value[0];
    at = at->next;
  }
  return sum;
}

static uint64_t *words;

static void scatter_prepare(void) { words = pages(WORDS * 8); }

/* Writes, then looks at those that were first, in the same order. */
static uint64_t scatter(void) {
  uint64_t sum = 0;
  for (int i = 0; i < WRITES; i++) words[random64() % WORDS] = i;
  random_restart();
  for (int i = 0; i < LOOKS; i++) sum = mix(sum, words[random64() % WORDS]);
  return sum;
}

static uint8_t *from, *to;

static void movsb_prepare(void) {
  from = pages(MOVED);
  to = pages(MOVED);
  random_restart();
  for (size_t at = 0; at < MOVED; at += STRIDE) from[at] = random64();
}

static uint64_t movsb(void) {
  uint64_t sum = 0;
  const uint8_t *source = from;
  uint8_t *target = to;
  size_t count = MOVED;
  __asm__ volatile("rep movsb" : "+S"(source), "+D"(target), "+c"(count) : : "memory");
  for (size_t at = 0; at < MOVED; at += STRIDE) sum = mix(sum, to[at]);
  return sum;
}

const struct row rows[] = {
  { "chase", chase_prepare, chase },
  { "scatter", scatter_prepare, scatter },
  { "movsb", movsb_prepare, movsb },
  { NULL, NULL, NULL },
};
