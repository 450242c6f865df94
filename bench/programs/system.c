/* The kernel's work: system calls, processes, page tables, signals. */
#define _GNU_SOURCE
#include "program.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS 500000
#define FORKS 500
#define EXECS 100
#define PINGS 4000
#define MAPS 250
#define MAPPED 64
#define PROTECTS 30000
#define RING 8
#define TURNS 1000
#define SIGNALS 10000
#define PAGE 4096

static void must(int good, const char *what) {
  if (good) return;
  perror(what);
  exit(1);
}

static uint64_t getpids(void) {
  uint64_t sum = 0;
  long own = getpid();
  for (int i = 0; i < CALLS; i++) sum += syscall(SYS_getpid) == own;
  return sum;
}

/* Waits for a child; how it ended. */
static int ended(pid_t child) {
  int status;
  must(child > 0, "fork");
  must(waitpid(child, &status, 0) == child, "waitpid");
  return status;
}

static uint64_t forks(void) {
  uint64_t sum = 0;
  for (int i = 0; i < FORKS; i++) {
    pid_t child = fork();
    if (child == 0) _exit(i & 127);
    sum = mix(sum, ended(child));
  }
  return sum;
}

static uint64_t execs(void) {
  uint64_t good = 0;
  for (int i = 0; i < EXECS; i++) {
    pid_t child = fork();
    if (child == 0) {
      execl("/proc/self/exe", "system", "--nothing", NULL);
      _exit(1);
    }
    good += ended(child) == 0;
  }
  return good;
}

static uint8_t get(int fd) {
  uint8_t byte;
  must(read(fd, &byte, 1) == 1, "read");
  return byte;
}

static void put(int fd, uint8_t byte) { must(write(fd, &byte, 1) == 1, "write"); }

/* A byte goes round `count` processes, from pipe to pipe; each adds one. This process is the first of them. */
static uint64_t ring(int count, int turns) {
  int pipes[RING][2];
  pid_t children[RING];
  uint64_t sum = 0;
  for (int i = 0; i < count; i++) must(pipe(pipes[i]) == 0, "pipe");
  for (int i = 1; i < count; i++) {
    children[i] = fork();
    if (children[i] != 0) continue;
    for (int turn = 0; turn < turns; turn++) put(pipes[i][1], get(pipes[i - 1][0]) + 1);
    _exit(0);
  }
  uint8_t byte = 0;
  for (int turn = 0; turn < turns; turn++) {
    put(pipes[0][1], byte + 1);
    byte = get(pipes[count - 1][0]);
    sum = mix(sum, byte);
  }
  for (int i = 1; i < count; i++) sum = mix(sum, ended(children[i]));
  return sum;
}

static uint64_t pingpong(void) { return ring(2, PINGS); }

static uint64_t switches(void) { return ring(RING, TURNS); }

static uint8_t *map(size_t size) {
  uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(memory != MAP_FAILED, "mmap");
  return memory;
}

static uint64_t maps(void) {
  uint64_t sum = 0;
  for (int i = 0; i < MAPS; i++) {
    uint8_t *memory = map(MAPPED * PAGE);
    for (int k = 0; k < MAPPED; k++) sum += ++memory[k * PAGE + i];
    munmap(memory, MAPPED * PAGE);
  }
  return sum;
}

static uint64_t protects(void) {
  uint8_t *page = map(PAGE);
  uint64_t sum = 0;
  for (int i = 0; i < PROTECTS; i++) {
    page[0]++;
    must(mprotect(page, PAGE, PROT_READ) == 0, "mprotect");
    sum = mix(sum, page[0]);
    must(mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0, "mprotect");
  }
  return sum;
}

static volatile uint64_t caught;

static void catch(int number) { caught += number == SIGUSR1; }

static uint64_t signals(void) {
  struct sigaction action = { .sa_handler = catch };
  must(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
  for (int i = 0; i < SIGNALS; i++) raise(SIGUSR1);
  return caught;
}

const struct row rows[] = {
  { "getpid", NULL, getpids },
  { "fork", NULL, forks },
  { "exec", NULL, execs },
  { "pipe", NULL, pingpong },
  { "mmap", NULL, maps },
  { "mprotect", NULL, protects },
  { "switch", NULL, switches },
  { "signal", NULL, signals },
  { NULL, NULL, NULL },
};
