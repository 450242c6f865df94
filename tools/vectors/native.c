/*
 * Runs test cases on the host's own CPU: reads an array of `struct kase` from standard input, executes each
 * with every register loaded, and writes the same array back with the outcome filled in.
 *
 * The snippet lies at CODE_BASE and is followed by a jump to run_exit, which stores the registers without
 * needing a free one. A fault arrives as a signal on its own stack; the handler copies the interrupted
 * context. The data window is two pages with nothing mapped on either side, so that a stray access faults.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define CODE_BASE 0x20000000ul
#define MEM_BASE 0x10000000ul
#define MEM_SIZE 8192
#define CODE_MAX 64

struct kase {
    uint64_t gpr[16]; /* in the order of the encoding: rax rcx rdx rbx rsp rbp rsi rdi r8.. */
    uint64_t flags;   /* 128 */
    uint64_t rip;     /* 136 */
    uint8_t xmm[256]; /* 144 */
    uint32_t mxcsr;   /* 400 */
    uint32_t code_len;
    uint8_t code[CODE_MAX];
    int32_t fault; /* vector, -1 for none */
    uint32_t error;
    uint64_t cr2;
    uint8_t mem[MEM_SIZE];
};
_Static_assert(offsetof(struct kase, mxcsr) == 400, "the assembly below knows the layout");

struct kase st;
uint64_t host_rsp, entry = CODE_BASE;
uint32_t host_mxcsr = 0x1f80;
void run_case(void);
void run_exit(void);
void run_fault(void);

#define EACH(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)
#define LOADX(n) "movups st+144+16*" #n "(%rip), %xmm" #n "\n"
#define SAVEX(n) "movups %xmm" #n ", st+144+16*" #n "(%rip)\n"
#define EACHG(M) \
    M(0, rax) M(1, rcx) M(2, rdx) M(3, rbx) M(5, rbp) M(6, rsi) M(7, rdi) M(8, r8) M(9, r9) M(10, r10) \
    M(11, r11) M(12, r12) M(13, r13) M(14, r14) M(15, r15) M(4, rsp)
#define LOADG(n, r) "mov st+8*" #n "(%rip), %" #r "\n"
#define SAVEG(n, r) "mov %" #r ", st+8*" #n "(%rip)\n"
#define POP_CALLEE "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\n"

__asm__(".text\n.globl run_case, run_exit, run_fault\n"
        "run_case:\n"
        "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp, host_rsp(%rip)\n"
        "ldmxcsr st+400(%rip)\n" EACH(LOADX)
        "push st+128(%rip)\npopfq\n" EACHG(LOADG)
        "jmp *entry(%rip)\n"
        "run_exit:\n" EACHG(SAVEG)
        "mov host_rsp(%rip), %rsp\n"
        "pushfq\npop st+128(%rip)\ncld\n" EACH(SAVEX)
        "stmxcsr st+400(%rip)\n"
        "run_fault:\n"
        "mov host_rsp(%rip), %rsp\n"
        "ldmxcsr host_mxcsr(%rip)\n" POP_CALLEE "ret\n");

static void on_fault(int sig, siginfo_t *info, void *context) {
    static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    ucontext_t *uc = context;
    greg_t *g = uc->uc_mcontext.gregs;
    (void)info;
    if (sig == SIGALRM) _exit(3);
    for (int i = 0; i < 16; i++) st.gpr[i] = g[order[i]];
    st.flags = g[REG_EFL];
    st.rip = g[REG_RIP];
    memcpy(st.xmm, uc->uc_mcontext.fpregs->_xmm, sizeof st.xmm);
    st.mxcsr = uc->uc_mcontext.fpregs->mxcsr;
    st.fault = g[REG_TRAPNO];
    st.error = g[REG_ERR];
    st.cr2 = g[REG_TRAPNO] == 14 ? g[REG_CR2] : 0;
    uc->uc_mcontext.fpregs->mxcsr = host_mxcsr;
    g[REG_EFL] &= ~0x400;
    g[REG_RIP] = (greg_t)run_fault;
}

static void *map_at(uint64_t address, size_t size, int prot) {
    void *p = mmap((void *)address, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (p != (void *)address) {
        perror("mmap");
        exit(2);
    }
    return p;
}

int main(void) {
    static uint8_t signal_stack[65536];
    stack_t ss = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    const int signals[] = {SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGBUS, SIGALRM};
    uint8_t *code = map_at(CODE_BASE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
    uint8_t *mem = map_at(MEM_BASE, MEM_SIZE, PROT_READ | PROT_WRITE);

    sigaltstack(&ss, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &sa, NULL);
    while (fread(&st, sizeof st, 1, stdin) == 1) {
        static const uint8_t jump[6] = {0xff, 0x25, 0, 0, 0, 0};
        uint64_t back = (uint64_t)run_exit;
        if (st.code_len > CODE_MAX) return 2;
        memcpy(code, st.code, st.code_len);
        memcpy(code + st.code_len, jump, 6);
        memcpy(code + st.code_len + 6, &back, 8);
        memcpy(mem, st.mem, MEM_SIZE);
        st.fault = -1;
        st.rip = CODE_BASE + st.code_len;
        alarm(5);
        run_case();
        memcpy(st.mem, mem, MEM_SIZE);
        if (fwrite(&st, sizeof st, 1, stdout) != 1) return 2;
    }
    return fflush(stdout) ? 2 : 0;
}
