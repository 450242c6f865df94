/*
 * Runs test cases on the host's own CPU: reads records (record.ts has the layout) from standard input, executes each
 * with every register loaded, and writes it back with the outcome in its place.
 *
 * A case runs in 64-bit, 32-bit or 16-bit code, as its CS says: the selectors are the kernel's own for 64 and 32 bits
 * and come from an LDT otherwise. The snippet is followed by a jump to run_exit, which stores the registers without
 * needing a free one. A fault arrives as a signal on its own stack; the handler copies the interrupted context.
 *
 * Memory: two pages that hold zeros but for the case's window, with nothing mapped around them; a write outside of
 * the window is reported. One more page can only be read.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define CODE_BASE 0x20000000ul
#define CODE_START 0x800ul
#define MEM_BASE 0x10000000ul
#define MEM_SIZE 8192
#define READ_ONLY (MEM_BASE + 0x8000)
#define CODE_MAX 32
#define WINDOW_MAX 1024
#define FLAT_64 0x33
#define FLAT_32 0x23
#define FLAT_DATA 0x2b
#define FAULT_NONE -1
#define FAULT_STRAY -2

struct record {
    uint64_t gpr[16]; /* in the order of the encoding: rax rcx rdx rbx rsp rbp rsi rdi r8.. */
    uint64_t flags;   /* 128 */
    uint64_t rip;     /* 136 */
    uint8_t fx[512];  /* 144: as FXSAVE64 writes it */
    uint64_t fs_base; /* 656 */
    uint64_t gs_base; /* 664 */
    uint16_t sel[6];  /* 672: es cs ss ds fs gs */
    int32_t fault;    /* 684: vector, FAULT_NONE, FAULT_STRAY */
    uint32_t error;   /* 688 */
    uint32_t code_len;
    uint64_t cr2; /* 696 */
    uint8_t code[CODE_MAX];
    uint32_t window; /* 736: its address */
    uint32_t window_len;
    uint8_t spare[24];
};
_Static_assert(sizeof(struct record) == 768 && offsetof(struct record, sel) == 672, "record.ts knows the layout");

struct record st __attribute__((aligned(16)));
/* What FXRSTOR loads: without pending exceptions, which the FRSTOR after it would raise. */
uint8_t image[512] __attribute__((aligned(16)));
/* As FNSAVE writes it: the only way to see the x87's pointers, which AMD's FXSAVE leaves out without an exception. */
struct {
    uint32_t fcw, fsw, tags, fip, fcs_fop, fdp, fds;
    uint8_t registers[80];
} unit;
uint64_t host_rsp, host_fs, host_gs;
uint32_t host_mxcsr = 0x1f80;
struct {
    uint32_t offset;
    uint16_t selector;
} __attribute__((packed)) entry;
void run_case(void);
void run_exit(void);
void run_fault(void);
static unsigned long done, seen;

#define EACHG(M) \
    M(0, rax) M(1, rcx) M(2, rdx) M(3, rbx) M(5, rbp) M(6, rsi) M(7, rdi) M(8, r8) M(9, r9) M(10, r10) \
    M(11, r11) M(12, r12) M(13, r13) M(14, r14) M(15, r15) M(4, rsp)
#define LOADG(n, r) "mov st+8*" #n "(%rip), %" #r "\n"
#define SAVEG(n, r) "mov %" #r ", st+8*" #n "(%rip)\n"
#define POP_CALLEE "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\n"
#define SAVE_SEGMENTS \
    "mov %es, st+672(%rip)\nmov %ss, st+676(%rip)\nmov %ds, st+678(%rip)\n" \
    "mov %fs, st+680(%rip)\nmov %gs, st+682(%rip)\n" \
    "rdfsbase %rax\nmov %rax, st+656(%rip)\nrdgsbase %rax\nmov %rax, st+664(%rip)\n"

/* A far jump is of 32 bits; the selectors of FS and GS are loaded before their bases, which they overwrite. */
__asm__(".text\n.globl run_case, run_exit, run_fault, save_segments\n"
        "run_case:\n"
        "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp, host_rsp(%rip)\n"
        "fxrstor64 image(%rip)\nfrstor unit(%rip)\n"
        "mov st+680(%rip), %fs\nmov st+682(%rip), %gs\n"
        "cmpw $0x33, st+674(%rip)\njne 1f\n"
        "mov st+656(%rip), %rax\nwrfsbase %rax\nmov st+664(%rip), %rax\nwrgsbase %rax\n"
        "1: push st+128(%rip)\npopfq\n"
        "mov st+672(%rip), %es\nmov st+678(%rip), %ds\nmov st+676(%rip), %ss\n" EACHG(LOADG)
        "ljmp *entry(%rip)\n"
        "run_exit:\n" EACHG(SAVEG) SAVE_SEGMENTS
        "mov $0x2b, %eax\nmov %eax, %ss\n"
        "mov host_rsp(%rip), %rsp\n"
        "pushfq\npop st+128(%rip)\ncld\n"
        "fxsave64 st+144(%rip)\nfnsave unit(%rip)\n"
        "run_fault:\n"
        "mov host_rsp(%rip), %rsp\n"
        "xor %eax, %eax\nmov %eax, %es\nmov %eax, %ds\nmov %eax, %fs\nmov %eax, %gs\n"
        "mov host_fs(%rip), %rax\nwrfsbase %rax\nmov host_gs(%rip), %rax\nwrgsbase %rax\n"
        "fninit\nldmxcsr host_mxcsr(%rip)\n" POP_CALLEE "ret\n"
        "save_segments:\n" SAVE_SEGMENTS "ret\n");
void save_segments(void);

static void on_fault(int sig, siginfo_t *info, void *context) {
    static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    ucontext_t *uc = context;
    greg_t *g = uc->uc_mcontext.gregs;
    uint64_t selectors = g[REG_CSGSFS];
    (void)info;
    (void)sig;
    save_segments();
    for (int i = 0; i < 16; i++) st.gpr[i] = g[order[i]];
    st.flags = g[REG_EFL];
    st.rip = g[REG_RIP];
    st.sel[1] = selectors;
    st.sel[2] = selectors >> 48;
    __builtin_memcpy(st.fx, uc->uc_mcontext.fpregs, 416);
    st.fault = g[REG_TRAPNO];
    st.error = g[REG_ERR];
    st.cr2 = g[REG_TRAPNO] == 14 ? g[REG_CR2] : 0;
    g[REG_EFL] = 0x202;
    g[REG_RIP] = (greg_t)run_fault;
    g[REG_CSGSFS] = FLAT_64 | (uint64_t)FLAT_DATA << 48;
}

/* A case that does not come to its end in a second or two never will. */
static void on_tick(int sig) {
    (void)sig;
    if (done == seen) _exit(3);
    seen = done;
}

static void *map_at(uint64_t address, size_t size, int prot, int fd) {
    int flags = (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED) | (address ? MAP_FIXED_NOREPLACE : 0);
    void *p = mmap((void *)address, size, prot, flags, fd, 0);
    if (p == MAP_FAILED || (address && p != (void *)address)) {
        perror("mmap");
        exit(2);
    }
    return p;
}

static void set_ldt(int n, uint32_t base, uint32_t limit, int contents, int big, int pages) {
    struct user_desc d = {.entry_number = n, .base_addr = base, .limit = limit, .seg_32bit = big,
                          .contents = contents,
                          .limit_in_pages = pages, .useable = 1};
    if (syscall(SYS_modify_ldt, 0x11, &d, sizeof d) != 0) {
        perror("modify_ldt");
        exit(2);
    }
}

static void prepare(void) {
    static uint8_t signal_stack[65536];
    stack_t ss = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    struct sigaction tick = {.sa_handler = on_tick, .sa_flags = SA_ONSTACK | SA_RESTART};
    struct itimerval second = {{1, 0}, {1, 0}};
    const int signals[] = {SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGBUS};
    sigaltstack(&ss, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &sa, NULL);
    sigaction(SIGVTALRM, &tick, NULL);
    setitimer(ITIMER_VIRTUAL, &second, NULL);
    set_ldt(0, CODE_BASE, 0xffff, MODIFY_LDT_CONTENTS_CODE, 0, 0);
    set_ldt(1, MEM_BASE, 0xffff, MODIFY_LDT_CONTENTS_DATA, 0, 0);
    set_ldt(2, 0x10000, 0xfffff, MODIFY_LDT_CONTENTS_DATA, 1, 1);
    set_ldt(3, MEM_BASE, 0x103f, MODIFY_LDT_CONTENTS_DATA, 1, 0);
    set_ldt(4, MEM_BASE + 0x1000 - 0x10000, 0xffff, MODIFY_LDT_CONTENTS_DATA, 0, 0);
    set_ldt(5, MEM_BASE, 0xfbf, MODIFY_LDT_CONTENTS_STACK, 1, 0);
    __asm__ volatile("rdfsbase %0" : "=r"(host_fs));
    __asm__ volatile("rdgsbase %0" : "=r"(host_gs));
}

/* Writes the snippet and the way back from it; the rest of the page is INT3. */
static void put_code(uint8_t *code) {
    static size_t last;
    static const uint8_t jump64[] = {0xff, 0x25, 0, 0, 0, 0}, jump32[] = {0x66, 0xea};
    uint64_t back = (uint64_t)run_exit;
    uint8_t *p = code + CODE_START;
    memset(p, 0xcc, last);
    memcpy(p, st.code, st.code_len);
    p += st.code_len;
    if (st.sel[1] == FLAT_64) {
        memcpy(p, jump64, 6);
        memcpy(p + 6, &back, 8);
        p += 14;
    } else {
        size_t skip = st.sel[1] == FLAT_32;
        memcpy(p, jump32 + skip, 2 - skip);
        p += 2 - skip;
        memcpy(p, &back, 4);
        memcpy(p + 4, (uint8_t[]){FLAT_64, 0}, 2);
        p += 6;
    }
    last = p - code - CODE_START;
}

static uint16_t *fx16(int at) { return (uint16_t *)(st.fx + at); }
static uint32_t *fx32(int at) { return (uint32_t *)(st.fx + at); }

static void unit_from_image(void) {
    unit.fcw = *fx16(0);
    unit.fsw = *fx16(2);
    unit.tags = unit.fds = 0;
    memcpy(image, st.fx, sizeof image);
    image[2] = image[3] = 0;
    for (int n = 0; n < 8; n++)
        if (!(st.fx[4] >> n & 1)) unit.tags |= 3u << 2 * n;
    unit.fcs_fop = (uint32_t)*fx16(6) << 16;
    unit.fip = *fx32(8);
    unit.fdp = *fx32(16);
    for (int n = 0; n < 8; n++) memcpy(unit.registers + 10 * n, st.fx + 32 + 16 * n, 10);
}

/* After a fault the pointers are lost: the kernel's XSAVE left them out. */
static void pointers_to_image(void) {
    int ended = st.fault == FAULT_NONE;
    *fx16(6) = ended ? unit.fcs_fop >> 16 : 0;
    *fx32(8) = ended ? unit.fip : 0;
    *fx32(12) = 0;
    *fx32(16) = ended ? unit.fdp : 0;
    *fx32(20) = 0;
}

static void run_one(uint8_t *code, uint8_t *mem, uint8_t *window) {
    static const uint8_t zeros[MEM_SIZE];
    uint8_t *at = mem + (st.window - MEM_BASE);
    put_code(code);
    memcpy(at, window, st.window_len);
    entry.selector = st.sel[1];
    entry.offset = CODE_START + (st.sel[1] & 4 ? 0 : CODE_BASE);
    st.fault = FAULT_NONE;
    st.rip = entry.offset + st.code_len;
    unit_from_image();
    run_case();
    pointers_to_image();
    memcpy(window, at, st.window_len);
    memset(at, 0, st.window_len);
    if (memcmp(mem, zeros, MEM_SIZE) != 0) {
        memset(mem, 0, MEM_SIZE);
        st.fault = FAULT_STRAY;
    }
    done++;
}

/* Switching to another task drops the x87's pointers on some CPUs: what comes back without is tried again. */
static void run_with_pointers(uint8_t *code, uint8_t *mem, uint8_t *window) {
    static struct record before;
    static uint8_t window_before[WINDOW_MAX];
    before = st;
    memcpy(window_before, window, st.window_len);
    for (int tries = 0; tries < 3; tries++) {
        st = before;
        memcpy(window, window_before, st.window_len);
        run_one(code, mem, window);
        if (st.fault != FAULT_NONE || (*fx32(8) != 0 && *fx32(16) != 0) || *(uint32_t *)(before.fx + 8) == 0) return;
    }
}

int main(void) {
    static uint8_t window[WINDOW_MAX], buffer[1 << 20];
    int fd = memfd_create("code", 0);
    uint8_t *code, *mem;
    if (fd < 0 || ftruncate(fd, 4096) != 0) return 2;
    code = map_at(0, 4096, PROT_READ | PROT_WRITE, fd);
    map_at(CODE_BASE, 4096, PROT_READ | PROT_EXEC, fd);
    mem = map_at(MEM_BASE, MEM_SIZE, PROT_READ | PROT_WRITE, -1);
    /* a page that was never touched would not be there yet */
    *(volatile uint8_t *)map_at(READ_ONLY, 4096, PROT_READ, -1);
    memset(code, 0xcc, 4096);
    prepare();
    setvbuf(stdout, (char *)buffer, _IOFBF, sizeof buffer);
    while (fread(&st, sizeof st, 1, stdin) == 1) {
        if (st.code_len > CODE_MAX || st.window_len > WINDOW_MAX) return 2;
        if (fread(window, st.window_len, 1, stdin) != 1) return 2;
        run_with_pointers(code, mem, window);
        if (fwrite(&st, sizeof st, 1, stdout) != 1 || fwrite(window, st.window_len, 1, stdout) != 1) return 2;
    }
    return fflush(stdout) ? 2 : 0;
}
