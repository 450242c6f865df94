/** A guest in QEMU's TCG, stopped at its PVH entry point, with its RAM in a file that we can read. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cpuState, SEG } from '../../src/machine/cpu-state.ts';
import type { Core } from '../../src/machine/engine/core.ts';
import { GdbStub } from './gdb.ts';
import { adopt } from './registers.ts';

/** AMD's vendor, and the features that our CPUID has as far as TCG has them. */
export const CPU_MODEL = [
  'qemu64,-svm,+ssse3,+sse4.1,+movbe,+popcnt,+rdrand,+xsave,+fsgsbase,+bmi1,+bmi2,+smep,+adx,+umip,+abm,+pdpe1gb',
  '+rdtscp',
].join(',');

export interface QemuGuest {
  readonly program: string;
  readonly model: string;
  /** An ELF file with a PHYS32_ENTRY note. */
  readonly kernel: string;
  readonly ramdisk: string | undefined;
  readonly cmdline: string;
  /** Bytes. */
  readonly memory: number;
  readonly entry: number;
}

/** Ends the program and removes its folder when we are gone; tells us by a packet when the program is. */
const KEEPER = [
  'exec 3<&0; "$@" & q=$!; exec 2>/dev/null',
  '{ cat <&3 >/dev/null; kill -9 $q; rm -rf "$(dirname "$0")"; } &',
  'wait $q; [ -p "$0" ] && printf "\\$W00#b7" 1<>"$0"',
].join('\n');

export class Qemu {
  readonly stub: GdbStub;
  private readonly child: ChildProcess;
  private readonly ramFile: number;

  constructor(guest: QemuGuest) {
    const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'lockstep-'));
    const pipe = join(folder, 'gdb');
    const ram = join(folder, 'ram');
    execFileSync('mkfifo', [`${pipe}.in`, `${pipe}.out`]);
    const command = [guest.program, ...qemuArguments(guest, ram, pipe)];
    this.child = spawn('sh', ['-c', KEEPER, `${pipe}.out`, ...command], {
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    const output = openSync(`${pipe}.in`, 'r+');
    this.stub = new GdbStub(openSync(`${pipe}.out`, 'r+'), output);
    this.stub.command('?');
    this.ramFile = openSync(ram, 'r');
    this.stub.runTo(BigInt(guest.entry));
  }

  /** Reads guest-physical memory. */
  read(into: Uint8Array, gpa: number): void {
    readSync(this.ramFile, into, 0, into.length, gpa);
  }

  /** Gives a vCPU of ours all registers. */
  copyRegisters(c: Core): void {
    const state = this.stub.registers();
    const text = this.stub.monitor('info registers');
    adopt(c, state);
    for (const name of ['cr0', 'cr2', 'cr3', 'cr4', 'efer', 'rip', 'kernelGsBase'] as const)
      c.set(cpuState[name], state.get(name)!);
    c.set(cpuState.cpl, BigInt(/CPL=(\d)/.exec(text)![1]!));
    for (const name of ['gdt', 'idt'] as const) {
      const [, base, limit] = new RegExp(`^${name}= +(\\w+) (\\w+)`, 'im').exec(text)!;
      c.set(cpuState[`${name}Base`], BigInt(`0x${base}`));
      c.set32(cpuState[`${name}Limit`], Number.parseInt(limit!, 16));
    }
    for (const [name, s] of Object.entries(SEG)) copySegment(c, s, name.slice(0, 3), text);
  }

  close(): void {
    this.child.stdin!.destroy();
  }
}

function qemuArguments(guest: QemuGuest, ram: string, pipe: string): string[] {
  const mib = guest.memory >> 20;
  const options = [
    ...['-machine', 'pc,memory-backend=ram', '-accel', 'tcg', '-cpu', guest.model, '-m', String(mib)],
    ...['-object', `memory-backend-file,id=ram,size=${mib}M,mem-path=${ram},share=on`],
    ...['-nodefaults', '-display', 'none', '-no-reboot', '-S', '-chardev', `pipe,id=gdb,path=${pipe}`],
    ...['-gdb', 'chardev:gdb', '-kernel', guest.kernel, '-append', guest.cmdline],
  ];
  return guest.ramdisk === undefined ? options : [...options, '-initrd', guest.ramdisk];
}

/** From a line as `CS =0008 00000000 ffffffff 00c09b00 DPL=0 CS32 [-RA]`. */
function copySegment(c: Core, s: number, name: string, text: string): void {
  const line = new RegExp(`^${name} *=(\\w+) (\\w+) (\\w+) (\\w+)`, 'im').exec(text)!;
  const [selector, base, limit, high] = line.slice(1).map((word) => Number.parseInt(word, 16)) as [
    number,
    number,
    number,
    number,
  ];
  c.setSeg(s, selector, ((high >>> 8) & 0xff) | ((high >>> 12) & 0xf00), limit, base);
}
