/** `object FILE X TIMES`: calls the function at the start of an object file's code, which needs no linking. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static char data[1 << 20];

int main(int argc, char **argv) {
  FILE *file = argc == 4 ? fopen(argv[1], "rb") : NULL;
  if (!file || fread(data, 1, sizeof data, file) < sizeof(Elf64_Ehdr)) return 2;
  const Elf64_Ehdr *header = (void *)data;
  const Elf64_Shdr *section = (void *)(data + header->e_shoff);
  const char *names = data + section[header->e_shstrndx].sh_offset;
  for (int k = 0; k < header->e_shnum; k++) {
    const Elf64_Shdr *s = &section[k];
    if (strcmp(names + s->sh_name, ".text") != 0) continue;
    int protection = PROT_READ | PROT_WRITE | PROT_EXEC;
    void *code = mmap(NULL, s->sh_size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED) return 1;
    memcpy(code, data + s->sh_offset, s->sh_size);
    unsigned long (*call)(unsigned long, unsigned long) = code;
    printf("%016lx\n", call(atol(argv[2]), atol(argv[3])));
    return 0;
  }
  return 1;
}
