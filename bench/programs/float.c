/* Floating point: double precision in SSE2, as compilers do it, and long double on the x87 stack. */
#include "program.h"
#include <math.h>
#include <string.h>

#define BODIES 5
#define MOVES 240000
#define SIDE 640
#define DEPTH 100
#define TERMS 2000000

static uint64_t bits(double x) {
  uint64_t word;
  memcpy(&word, &x, sizeof word);
  return word;
}

struct body {
  double at[3], speed[3], mass;
};

/* A sun, and planets on rings around it that pull at each other. */
static struct body bodies[BODIES];

static void nbody_prepare(void) {
  for (int i = 0; i < BODIES; i++) {
    double radius = 1.5 * i * i;
    bodies[i] = (struct body){ { radius, radius / 16, -radius / 32 },
                               { 0, i ? sqrt(40 / radius) : 0, 0.01 * i },
                               i ? 0.01 * i : 40 };
  }
}

static void move(double time) {
  for (struct body *a = bodies; a < bodies + BODIES; a++)
    for (struct body *b = a + 1; b < bodies + BODIES; b++) {
      double d[3], square = 0;
      for (int k = 0; k < 3; k++) {
        d[k] = a->at[k] - b->at[k];
        square += d[k] * d[k];
      }
      double pull = time / (square * sqrt(square));
      for (int k = 0; k < 3; k++) {
        a->speed[k] -= d[k] * b->mass * pull;
        b->speed[k] += d[k] * a->mass * pull;
      }
    }
  for (struct body *a = bodies; a < bodies + BODIES; a++)
    for (int k = 0; k < 3; k++) a->at[k] += time * a->speed[k];
}

static uint64_t nbody(void) {
  uint64_t sum = 0;
  for (int i = 0; i < MOVES; i++) move(0.001);
  for (int i = 0; i < BODIES; i++)
    for (int k = 0; k < 3; k++) sum = mix(sum, bits(bodies[i].at[k]));
  return sum;
}

static uint64_t mandelbrot(void) {
  uint64_t sum = 0;
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++) {
      double cr = 3.0 * x / SIDE - 2, ci = 3.0 * y / SIDE - 1.5, r = 0, i = 0;
      int n = 0;
      while (n < DEPTH && r * r + i * i < 4) {
        double next = r * r - i * i + cr;
        i = 2 * r * i + ci;
        r = next;
        n++;
      }
      sum = mix(sum, n);
    }
  return sum;
}

/* Sums, products, quotients and roots, whose every bit the standard gives; sines it leaves open. */
static uint64_t x87(void) {
  long double sum = 0, product = 1;
  for (int i = 1; i <= TERMS; i++) {
    long double term = 1 / ((long double)i * i);
    sum += sqrtl(term);
    product *= 1 + (i & 1 ? term : -term / 3);
  }
  long double all = sum * product;
  uint64_t mantissa;
  memcpy(&mantissa, &all, sizeof mantissa);
  return mantissa;
}

const struct row rows[] = {
  { "nbody", nbody_prepare, nbody },
  { "mandelbrot", NULL, mandelbrot },
  { "x87", NULL, x87 },
  { NULL, NULL, NULL },
};
