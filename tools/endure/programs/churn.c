/**
 * `churn SEED COUNT`: so often, makes machine code, runs it until it is hot or not, and throws it away, each time in
 * another of the ways in which programs do that; prints a checksum.
 */
#define _GNU_SOURCE
#include "code.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WX = PROT_READ | PROT_WRITE | PROT_EXEC };

static uint64_t state, sum;

static void add(uint64_t value) { sum = (sum ^ value) * 0x100000001b3u; }
static void *checked(void *result, const char *what) {
  if (result != MAP_FAILED) return result;
  perror(what);
  exit(1);
}
static void must(int result, const char *what) {
  if (result < 0) checked(MAP_FAILED, what);
}

/** Memory for a function, each time elsewhere. */
static uint8_t *somewhere(int protection, int flags, int file) {
  uintptr_t hint = 0x100000000000u + (uintptr_t)chance(&state) * 0x3000;
  return checked(mmap((void *)hint, CODE_BYTES, protection, MAP_PRIVATE | flags, file, 0), "mmap");
}
static uint64_t run(const uint8_t *code, uint64_t times) {
  uint64_t memory[MEMORY_WORDS] = {1, 2, 3};
  uint64_t result = ((function *)code)(times, times * 77, memory);
  for (int k = 0; k < MEMORY_WORDS; k++) result = result * 31 + memory[k];
  return result;
}
/** A few times, or long enough for the loop to be hot. */
static uint64_t times(void) {
  static const int limits[] = {5, 500, 50000, 150000};
  return 1 + chance(&state) % limits[chance(&state) % 4];
}
static void change(uint8_t *code, size_t place) {
  uint32_t value = chance(&state);
  memcpy(code + place, &value, 4);
}

static void fresh(void) {
  uint8_t *code = somewhere(WX, MAP_ANONYMOUS, -1);
  writeCode(code, &state);
  add(run(code, times()));
  munmap(code, CODE_BYTES);
}

/** Other functions at the same address, and others in a part of them. */
static void rewritten(void) {
  static uint8_t *code;
  if (!code) code = somewhere(WX, MAP_ANONYMOUS, -1);
  size_t place = writeCode(code, &state);
  add(run(code, times()));
  for (int n = chance(&state) % 4; n > 0; n--) {
    change(code, place);
    add(run(code, times()));
  }
}

/** Never writable and executable at once. */
static void sealed(void) {
  uint8_t *code = somewhere(PROT_READ | PROT_WRITE, MAP_ANONYMOUS, -1);
  for (int n = 0; n < 2; n++) {
    size_t place = writeCode(code, &state);
    if (n) change(code, place);
    must(mprotect(code, CODE_BYTES, PROT_READ | PROT_EXEC), "mprotect");
    add(run(code, times()));
    must(mprotect(code, CODE_BYTES, PROT_READ | PROT_WRITE), "mprotect");
  }
  munmap(code, CODE_BYTES);
}

/** Written at one address and run at another, which then is on other pages. */
static void shared(void) {
  int file = memfd_create("code", 0);
  must(file, "memfd_create");
  must(ftruncate(file, CODE_BYTES), "ftruncate");
  uint8_t *data = checked(mmap(NULL, CODE_BYTES, WX & ~PROT_EXEC, MAP_SHARED, file, 0), "mmap");
  uint8_t *code = checked(mmap(NULL, CODE_BYTES, WX & ~PROT_WRITE, MAP_SHARED, file, 0), "mmap");
  size_t place = writeCode(data, &state);
  add(run(code, times()));
  change(data, place);
  add(run(code, times()));
  uint8_t *copy = somewhere(WX & ~PROT_WRITE, 0, file);
  add(run(copy, times()));
  uint8_t *other = somewhere(PROT_NONE, MAP_ANONYMOUS, -1);
  code = checked(mremap(code, CODE_BYTES, CODE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, other), "mremap");
  change(data, place);
  add(run(code, times()));
  munmap(code, CODE_BYTES);
  munmap(copy, CODE_BYTES);
  munmap(data, CODE_BYTES);
  close(file);
}

/** A child changes its copy of hot code, the parent goes on with its own. */
static void copied(void) {
  uint8_t *code = somewhere(WX, MAP_ANONYMOUS, -1);
  size_t place = writeCode(code, &state);
  uint64_t often = times(), result;
  add(run(code, often));
  int ends[2];
  must(pipe(ends), "pipe");
  uint32_t value = chance(&state);
  pid_t child = fork();
  must(child, "fork");
  if (child == 0) {
    memcpy(code + place, &value, 4);
    result = run(code, often);
    _exit(write(ends[1], &result, sizeof result) != sizeof result);
  }
  add(run(code, often + 1));
  if (read(ends[0], &result, sizeof result) != sizeof result) must(-1, "the child");
  add(result);
  must(waitpid(child, NULL, 0), "waitpid");
  close(ends[0]);
  close(ends[1]);
  munmap(code, CODE_BYTES);
}

static struct {
  pthread_barrier_t turn;
  uint8_t *code;
  uint64_t often, result;
} other;

static void *runner(void *unused) {
  for (;;) {
    pthread_barrier_wait(&other.turn);
    if (!other.code) return unused;
    // what another CPU has written is run after an instruction that serializes
    __asm__ volatile("cpuid" : : "a"(0), "c"(0) : "ebx", "edx", "memory");
    other.result = run(other.code, other.often);
    pthread_barrier_wait(&other.turn);
  }
}

/** One thread writes, another runs. */
static void threads(void) {
  pthread_t thread;
  pthread_barrier_init(&other.turn, NULL, 2);
  if (pthread_create(&thread, NULL, runner, NULL)) must(-1, "pthread_create");
  other.code = somewhere(WX, MAP_ANONYMOUS, -1);
  size_t place = writeCode(other.code, &state);
  for (int n = 0; n < 4; n++) {
    other.often = times();
    pthread_barrier_wait(&other.turn);
    pthread_barrier_wait(&other.turn);
    add(other.result);
    change(other.code, place);
  }
  munmap(other.code, CODE_BYTES);
  other.code = NULL;
  pthread_barrier_wait(&other.turn);
  pthread_join(thread, NULL);
  pthread_barrier_destroy(&other.turn);
}

/** A loop that writes into itself: `add $0, %eax; incl (the 0); dec %edi; jnz`. */
static void itself(void) {
  static const uint8_t bytes[] = {0x31, 0xc0, 0x05, 0, 0, 0, 0, 0xff, 0x05, 0xf6, 0xff,
                                  0xff, 0xff, 0xff, 0xcf, 0x75, 0xf1, 0xc3};
  uint8_t *code = somewhere(WX, MAP_ANONYMOUS, -1);
  memcpy(code, bytes, sizeof bytes);
  add(run(code, 1 + chance(&state) % 500));
  munmap(code, CODE_BYTES);
}

int main(int argc, char **argv) {
  static void (*const ways[])(void) = {fresh, rewritten, sealed, shared, copied, threads, itself};
  if (argc != 3) return 2;
  state = atoll(argv[1]) * 0x9e3779b97f4a7c15u;
  for (int count = atoi(argv[2]); count > 0; count--) ways[chance(&state) % 7]();
  printf("%016llx\n", (unsigned long long)sum);
}
