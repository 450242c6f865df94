import { afterAll, describe, expect, it } from 'vitest';
import { SoftwareCpu } from '../engine/engine.ts';
import { Machine, type WasmMemory } from '../machine.ts';
import { EXIT } from '../platform.ts';
import { TestCpu } from '../testing.ts';
import { sharedMemory } from '../wasm-api.ts';
import type { Batch, Job } from './job.ts';
import { COMPILE_ALL, type CompileOptions } from './regions.ts';
import { CompileServer } from './server.ts';
import { type Compiler, RemoteCompiler } from './service.ts';

const CODE = 0x40_0000;
const STACK = 0x50_0000;
/** Hot soon, and in the middle of what runs. */
const SOON: CompileOptions = { sampleEvery: 4, hot: 2, batch: 1, patience: 0 };

const MEMORY = 32 << 20;

/** The other thread's work, done on this one: an answer comes when it was asked for a few times. */
class Late implements Compiler {
  private readonly machine: Machine;
  private readonly memory: WasmMemory;
  private readonly remote: RemoteCompiler;
  private server: CompileServer | undefined;
  private readonly answers: Batch[] = [];
  private waiting = 0;
  private asked = 0;
  answered = 0;

  constructor(memory: WasmMemory, machine: Machine) {
    this.machine = machine;
    this.memory = memory;
    this.remote = new RemoteCompiler(machine, {
      start: (mailbox) => {
        const dummy = machine.allocFrames(SoftwareCpu.frames()) * 4096;
        this.server = new CompileServer(this.memory, this.machine.maxPages, mailbox, dummy);
      },
      receive: () => this.answers.shift(),
    });
  }
  get ready(): boolean {
    return this.waiting > 0 && ++this.asked % 8 === 0;
  }
  post(job: Job): boolean {
    const taken = this.remote.post(job);
    if (taken) this.waiting++;
    return taken;
  }
  take(): Batch | undefined {
    if (!this.ready) return undefined;
    this.server?.serve((batch) => this.answers.push(batch));
    const batch = this.remote.take();
    this.waiting -= batch?.done.length ?? 0;
    this.answered++;
    return batch;
  }
}

type Compile = CompileOptions | 'elsewhere';

let answers = 0;
afterAll(() => expect(answers).toBeGreaterThan(4));

/** Runs code in ring 3 until its HLT, which is #GP there; answers RAX. */
function run(code: string, compile: Compile, pages = 1, flushes = false): bigint {
  const memory = sharedMemory(MEMORY);
  const machine = Machine.create(memory, MEMORY);
  const late = new Late(memory, machine);
  const options = compile === 'elsewhere' ? { ...SOON, compiler: late } : compile;
  const t = new TestCpu(undefined, { compile: options }, machine);
  const bytes = Uint8Array.from(Buffer.from(code.replace(/\s/g, ''), 'hex'));
  for (let k = 0; k < pages; k++) {
    const page = t.map(CODE + 4096 * k);
    t.m.write(page, bytes.subarray(4096 * k, 4096 * (k + 1)));
  }
  t.map(STACK - 4096);
  t.m.setU64(t.cpu + 8 * 4, BigInt(STACK));
  t.user(CODE, 2);
  t.m.setU64(t.cpu + 8 * 4, BigInt(STACK));
  // with flushes: little by little, and what the TLBs know is forgotten each time
  for (let k = 0; flushes && k < 200; k++) {
    if (t.engine.run(t.cpu, 4) !== EXIT.budget) throw new Error('over before all was flushed');
    t.engine.flushTlb(t.cpu);
  }
  const outcome = t.run();
  expect(outcome.vector).toBe(13);
  answers += late.answered;
  return t.m.u64(t.cpu);
}

describe.each([
  ['from the start', COMPILE_ALL],
  ['once it is hot', SOON],
  ['by another thread meanwhile', 'elsewhere'],
] as [string, Compile][])('code compiled %s', (_, compile) => {
  it('loops in loops', () => {
    // xor eax,eax; mov ecx,50; outer: mov edx,40; inner: add rax,rdx; dec edx; jnz inner; dec ecx; jnz outer; hlt
    const code = '31c0 b932000000 ba28000000 4801d0 ffca 75f9 ffc9 75f0 f4';
    expect(run(code, compile)).toBe(41_000n);
  });

  it('sees what it writes over itself', () => {
    // xor eax,eax; mov ecx,3000; loop: add rax,imm32; inc dword [the immediate]; dec ecx; jnz loop; hlt
    const code = '31c0 b9b80b0000 480501000000 ff05f6ffffff ffc9 75f0 f4';
    expect(run(code, compile)).toBe(4_501_500n);
  });

  it('calls, and returns to where it was called from or elsewhere', () => {
    // xor eax,eax; mov ecx,60; loop: call f; dec ecx; jnz loop; hlt
    // f: add eax,3; test cl,7; jnz r; add qword [rsp],0 (the same place); r: ret
    const code = '31c0 b93c000000 e805000000 ffc9 75f7 f4 83c003 f6c107 7505 4883042400 c3';
    expect(run(code, compile)).toBe(180n);
  });

  it('recurses', () => {
    // mov edi,15; xor eax,eax; call fib; hlt
    // fib: cmp edi,1; jbe leaf; push rdi; dec edi; call fib; pop rdi; sub edi,2; call fib; ret; leaf: add eax,edi; ret
    const code =
      'bf0f000000 31c0 e801000000 f4' + '83ff01 7613 57 ffcf e8f3ffffff 5f 83ef02 e8eaffffff c3 00 01f8 c3';
    expect(run(code, compile)).toBe(610n);
  });

  it('is run into by code that was decoded later, after it was dropped for a change on another page', () => {
    // xor eax,eax; mov ecx,100; xor r8d,r8d; jmp a
    // b: mov dword [the immediate in f],2; mov ecx,10
    // a: call f; dec ecx; jnz a; inc r8d; cmp r8d,1; je b; hlt      on the next page: f: add eax,1; ret
    const head =
      '31c0 b964000000 4531c0 eb0f c705eb0f000002000000 b90a000000' +
      'e8e00f0000 ffc9 75f7 41ffc0 4183f801 74df f4';
    const length = head.replace(/\s/g, '').length / 2;
    expect(run(`${head}${'90'.repeat(4096 - length)}0501000000 c3`, compile, 2)).toBe(120n);
  });

  it('finds the flags that were set before a loop, in its first turn', () => {
    // xor eax,eax; mov ecx,50; outer: mov edx,4; cmp eax,-1; inner: adc eax,0; dec edx; jnz inner; dec ecx; jnz outer; hlt
    const code = '31c0 b932000000 ba04000000 83f8ff 83d000 ffca 75f9 ffc9 75ed f4';
    expect(run(code, compile)).toBe(50n);
  });

  it('goes on across pages, with an instruction that lies on both', () => {
    // xor eax,eax; mov ecx,80; jmp 0xffe; at 0xffe: add eax,0x01020304 (5 bytes); dec ecx; jnz 0xffe; hlt
    const head = '31c0 b950000000 e9f20f0000'.replace(/\s/g, '');
    const code = `${head}${'90'.repeat(0xffe - head.length / 2)}0504030201 ffc9 75f7 f4`;
    expect(run(code, compile, 2)).toBe(BigInt((0x0102_0304 * 80) % 2 ** 32));
    const long = code.replace('b950000000', 'b9a0860100');
    expect(run(long, compile, 2, true)).toBe((0x0102_0304n * 100_000n) % 2n ** 32n);
  });
});
