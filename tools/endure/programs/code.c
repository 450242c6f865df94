/**
 * Functions of random instructions, a few dozen each. They work on six registers and a little memory, and read no flag
 * that the manual leaves undefined; addresses are never part of a result.
 */
#include "code.h"
#include <string.h>

enum { RAX, RCX, RDX, RSI = 6, RDI, R8, R9, R10, R11 };
static const int registers[] = {RAX, RCX, R8, R9, R10, R11};

typedef struct {
  uint8_t *at;
  uint64_t *state;
  uint8_t *callee[2];
} writer;

uint32_t chance(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return *state >> 33;
}

static void byte(writer *w, int value) { *w->at++ = value; }
static void word(writer *w, uint32_t value) {
  memcpy(w->at, &value, 4);
  w->at += 4;
}
static int any(writer *w) { return registers[chance(w->state) % 6]; }

/** REX and an opcode (of 0F's map with a 1 above it), ModRM for two registers. */
static void pair(writer *w, int wide, int opcode, int reg, int rm) {
  byte(w, 0x40 | wide << 3 | (reg >> 3) << 2 | rm >> 3);
  if (opcode & 0x100) byte(w, 0x0f);
  byte(w, opcode);
  byte(w, 0xc0 | (reg & 7) << 3 | (rm & 7));
}
/** The same with a word of the memory at RDX. */
static void memory(writer *w, int opcode, int reg) {
  byte(w, 0x48 | (reg >> 3) << 2);
  byte(w, opcode);
  byte(w, 0x42 | (reg & 7) << 3);
  byte(w, 8 * (chance(w->state) % MEMORY_WORDS));
}
static void immediate(writer *w, int group, int reg) {
  pair(w, 1, 0x81, group, reg);
  word(w, chance(w->state));
}
static void call(writer *w, const uint8_t *to) {
  byte(w, 0xe8);
  word(w, to - (w->at + 4));
}

static void simple(writer *w) {
  static const int arithmetic[] = {0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31};
  switch (chance(w->state) % 9) {
    case 0: return pair(w, 1, arithmetic[chance(w->state) % 7], any(w), any(w));
    case 1: return pair(w, 0, arithmetic[chance(w->state) % 7], any(w), any(w));
    case 2: return pair(w, 1, 0x1af, any(w), any(w));          // imul
    case 3: return memory(w, 0x03, any(w));                    // add r, m
    case 4: return memory(w, 0x31, any(w));                    // xor m, r
    case 5: return immediate(w, chance(w->state) % 7, any(w)); // add, or, ... xor
    case 6: return pair(w, 1, 0x1b6, any(w), any(w));          // movzx of a byte
    case 7:                                                    // rol, ror, shl, shr by 1 to 31
      pair(w, 1, 0xc1, "\0\1\4\5"[chance(w->state) % 4], any(w));
      return byte(w, 1 + chance(w->state) % 31);
    default: // lea r, [r + r * scale + number]
      {
        int reg = any(w), base = any(w), index = any(w);
        byte(w, 0x48 | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3);
        byte(w, 0x8d);
        byte(w, 0x84 | (reg & 7) << 3);
        byte(w, (chance(w->state) % 4) << 6 | (index & 7) << 3 | (base & 7));
        word(w, chance(w->state));
      }
  }
}

/** One instruction, or two after a comparison, the second of which is skipped by it or depends on it. */
static void some(writer *w) {
  int condition = chance(w->state) % 16;
  switch (chance(w->state) % 8) {
    case 0:
      pair(w, 1, 0x39, any(w), any(w));
      return pair(w, 1, 0x140 | condition, any(w), any(w)); // cmovcc
    case 1:
      {
        pair(w, 1, 0x39, any(w), any(w));
        byte(w, 0x70 | condition);
        uint8_t *distance = w->at++;
        simple(w);
        *distance = w->at - distance - 1;
        return;
      }
    case 2:
      return call(w, w->callee[chance(w->state) % 2]);
    default: return simple(w);
  }
}

static void leaf(writer *w) {
  for (int n = 2 + chance(w->state) % 8; n > 0; n--) simple(w);
  byte(w, 0xc3);
}

size_t writeCode(uint8_t *to, uint64_t *state) {
  writer w = {.state = state};
  for (int k = 0; k < 2; k++) {
    w.at = w.callee[k] = to + 4096 * (k + 1) + chance(state) % 3000;
    leaf(&w);
  }
  w.at = to;
  for (int k = 0; k < 6; k++) {
    pair(&w, 1, 0x89, RSI, registers[k]); // mov
    immediate(&w, 6, registers[k]);
  }
  uint8_t *loop = w.at;
  immediate(&w, 0, RAX);
  size_t place = w.at - 4 - to;
  for (int n = 4 + chance(state) % 40; n > 0; n--) some(&w);
  pair(&w, 1, 0x83, 5, RDI); // sub rdi, 1
  byte(&w, 1);
  byte(&w, 0x0f); // jnz
  byte(&w, 0x85);
  word(&w, loop - (w.at + 4));
  for (int k = 1; k < 6; k++) pair(&w, 1, 0x01, registers[k], RAX);
  byte(&w, 0xc3);
  return place;
}
