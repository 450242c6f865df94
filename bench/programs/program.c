/* The main program of every family: `FAMILY ROW...` prints a line as a row begins, and one with its checksum at its end. */
#define _GNU_SOURCE
#include "program.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SEED 88172645463325252u

static uint64_t state = SEED;

uint64_t random64(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

void random_restart(void) { state = SEED; }

void *pages(size_t size) {
  char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    perror("mmap");
    exit(1);
  }
  madvise(memory, size, MADV_NOHUGEPAGE);
  for (size_t at = 0; at < size; at += 4096) memory[at] = 1;
  return memory;
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  for (int i = 1; i < argc; i++) {
    /* What the row "exec" executes. */
    if (strcmp(argv[i], "--nothing") == 0) return 0;
    const struct row *row = rows;
    while (row->name && strcmp(row->name, argv[i]) != 0) row++;
    if (!row->name) {
      fprintf(stderr, "%s: no row \"%s\"\n", argv[0], argv[i]);
      return 1;
    }
    if (row->prepare) row->prepare();
    random_restart();
    printf("bench: begin %s\n", row->name);
    printf("bench: end %s %016lx\n", row->name, row->run());
  }
  return 0;
}
