/*
 * Runs x87 cases on the host's own CPU: reads an array of `struct kase` from standard input, and for each loads
 * the whole unit (FRSTOR), runs one snippet, saves the whole unit (FNSAVE) and writes the array back.
 *
 * The snippet lies at CODE_BASE and is followed by a jump to run_exit; its memory operand is at RDI, in a page
 * of its own. #MF arrives as a signal; the unit is then left as the signal frame holds it and not reported.
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
#define CODE_MAX 16
#define MEM_SIZE 128

struct kase {
    uint8_t image[108]; /* as FNSAVE writes it with 32-bit operand size */
    int32_t fault;      /* 108: vector, -1 for none */
    uint64_t rax;       /* 112 */
    uint64_t flags;     /* 120 */
    uint64_t code_len;  /* 128 */
    uint8_t code[CODE_MAX];
    uint8_t mem[MEM_SIZE];
};
_Static_assert(sizeof(struct kase) == 280, "the generator knows the layout");

struct kase st;
uint64_t host_rsp, entry = CODE_BASE, data = MEM_BASE;
void run_case(void);
void run_exit(void);
void run_fault(void);

#define POP_CALLEE "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\n"

__asm__(".text\n.globl run_case, run_exit, run_fault\n"
        "run_case:\n"
        "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp, host_rsp(%rip)\n"
        "frstor st(%rip)\n"
        "push st+120(%rip)\npopfq\n"
        "mov st+112(%rip), %rax\nmov data(%rip), %rdi\n"
        "jmp *entry(%rip)\n"
        "run_exit:\n"
        "fnsave st(%rip)\n"
        "mov %rax, st+112(%rip)\n"
        "pushfq\npop st+120(%rip)\n"
        "run_fault:\n"
        "mov host_rsp(%rip), %rsp\nfninit\n" POP_CALLEE "ret\n");

static void on_fault(int sig, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    greg_t *g = uc->uc_mcontext.gregs;
    (void)info;
    if (sig == SIGALRM) _exit(3);
    st.fault = g[REG_TRAPNO];
    uc->uc_mcontext.fpregs->swd = 0;
    g[REG_RIP] = (greg_t)run_fault;
}

static void *map_at(uint64_t address, int prot) {
    void *p = mmap((void *)address, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (p != (void *)address) {
        perror("mmap");
        exit(2);
    }
    return p;
}

int main(void) {
    static uint8_t signal_stack[65536];
    static const uint8_t jump[6] = {0xff, 0x25, 0, 0, 0, 0};
    stack_t ss = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    const int signals[] = {SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGBUS, SIGALRM};
    uint8_t *code = map_at(CODE_BASE, PROT_READ | PROT_WRITE | PROT_EXEC);
    uint8_t *mem = map_at(MEM_BASE, PROT_READ | PROT_WRITE);
    uint64_t back = (uint64_t)run_exit;

    sigaltstack(&ss, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &sa, NULL);
    while (fread(&st, sizeof st, 1, stdin) == 1) {
        if (st.code_len > CODE_MAX) return 2;
        memcpy(code, st.code, st.code_len);
        memcpy(code + st.code_len, jump, 6);
        memcpy(code + st.code_len + 6, &back, 8);
        memcpy(mem, st.mem, MEM_SIZE);
        st.fault = -1;
        alarm(5);
        run_case();
        memcpy(st.mem, mem, MEM_SIZE);
        if (fwrite(&st, sizeof st, 1, stdout) != 1) return 2;
    }
    return fflush(stdout) ? 2 : 0;
}
