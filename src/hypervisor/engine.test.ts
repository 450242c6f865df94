/** The hypervisor with the real interpreter: small 32-bit PVH guests, given as bytes. */
import { expect, test } from 'vitest';
import { XEN_DOMCTL_sethvmcontext, xen_domctl_hvmcontext } from '../abi/domctl.ts';
import {
  HVM_FILE_MAGIC,
  HVM_SAVE_CODE,
  hvm_hw_cpu,
  hvm_save_descriptor,
  hvm_save_header,
} from '../abi/hvm_save.ts';
import { createEngine } from '../machine/create-engine.ts';
import { HvmPlatform } from './hvm/platform.ts';
import { domainRecord, VCPU_CPU_OFFSET } from './records.ts';
import { PcpuLoop } from './sched/pcpu.ts';
import { LIST, World } from './testing/world.ts';

const ENTRY = 0x1000;
const AP_ENTRY = 0x2000;

/** Boots `code` at 0x1000 in flat protected mode, with `ap` at 0x2000, and runs it until the domain shuts down. */
function boot(code: number[], vcpus = 1, ap: number[] = []) {
  const w = new World();
  const { hv } = w;
  const { mem } = hv;
  const engine = createEngine(hv.machine, new HvmPlatform(hv), {
    clock: hv.clock,
    entropy: { fill: (b) => void b.fill(7) },
    tscKhz: 1_000_000,
    codeCacheBytes: 2 << 20,
    cr4Allowed: 0x7ff,
  });
  const loop = new PcpuLoop(hv, engine, 0, { sleep: (ms) => void (w.time += ms * 1e6) });
  const domid = w.createDomain(vcpus, 32);
  const dom = hv.domain(domid);
  const at = (gpa: number): number =>
    engine.linearToMaddr(w.vcpu(domid) + VCPU_CPU_OFFSET, BigInt(gpa), true);
  let to = w.dom0(LIST);
  mem.fill(to, 4096);
  const put = (type: number, size: number, fill: (a: number) => void): void => {
    hvm_save_descriptor.typecode.set(mem, to, type);
    hvm_save_descriptor.length.set(mem, to, size);
    fill(to + 8);
    to += 8 + size;
  };
  put(HVM_SAVE_CODE.HEADER, hvm_save_header.$.size, (a) => {
    hvm_save_header.magic.set(mem, a, HVM_FILE_MAGIC);
    hvm_save_header.version.set(mem, a, 1);
  });
  put(HVM_SAVE_CODE.CPU, hvm_hw_cpu.$.size, (a) => {
    const c = hvm_hw_cpu;
    c.rip.set(mem, a, BigInt(ENTRY));
    c.cr0.set(mem, a, 0x11n);
    c.rflags.set(mem, a, 2n);
    c.cs_arbytes.set(mem, a, 0xc9b);
    c.tr_arbytes.set(mem, a, 0x8b);
    for (const limit of [c.cs_limit, c.ds_limit, c.es_limit, c.ss_limit]) limit.set(mem, a, 0xffff_ffff);
    for (const ar of [c.ds_arbytes, c.es_arbytes, c.ss_arbytes]) ar.set(mem, a, 0xc93);
  });
  put(HVM_SAVE_CODE.END, 0, () => {});
  const size = to - w.dom0(LIST);
  const result = w.domctl(XEN_DOMCTL_sethvmcontext, domid, (u) => {
    xen_domctl_hvmcontext.size.set(mem, u, size);
    xen_domctl_hvmcontext.buffer.set(mem, u, LIST);
  });
  expect(result).toBe(0);
  mem.write(at(ENTRY), Uint8Array.from(code));
  mem.write(at(AP_ENTRY), Uint8Array.from(ap));
  w.unpause(domid);
  for (let i = 0; i < 200 && domainRecord.shutdown.get(mem, dom) === 0; i++) {
    if (!loop.step()) loop.idle();
    w.time += 1e5;
  }
  return { w, mem, at, dom, cpu: w.vcpu(domid) + VCPU_CPU_OFFSET };
}

const u32 = (n: number): number[] => [n & 255, (n >>> 8) & 255, (n >>> 16) & 255, n >>> 24];
const movEax = (n: number): number[] => [0xb8, ...u32(n)];
const movEcx = (n: number): number[] => [0xb9, ...u32(n)];
const storeEax = (a: number): number[] => [0xa3, ...u32(a)];
const storeEbx = (a: number): number[] => [0x89, 0x1d, ...u32(a)];
const CLI_HLT = [0xfa, 0xf4];
const VMMCALL = [0x0f, 0x01, 0xd9];
const CPUID = [0x0f, 0xa2];
const WRMSR = [0x0f, 0x30];

test('a guest asks for the version, finds Xen by CPUID, writes to its console, and powers off by HLT', () => {
  const g = boot([
    ...movEax(17),
    0x31,
    0xdb,
    0x31,
    0xc9,
    ...VMMCALL,
    ...storeEax(0x5000),
    ...movEax(0x4000_0000),
    ...CPUID,
    ...storeEbx(0x5004),
    ...movEax(0x4000_0004),
    ...CPUID,
    ...storeEax(0x5008),
    0x66,
    0xba,
    0xe9,
    0x00,
    0xb0,
    0x68,
    0xee,
    0xb0,
    0x69,
    0xee,
    0xb0,
    0x0a,
    0xee, // "hi\n" to port 0xe9
    ...CLI_HLT,
  ]);
  expect(g.mem.u32(g.at(0x5000))).toBe(0x40011);
  expect(g.mem.u32(g.at(0x5004))).toBe(0x566e6558);
  expect(g.mem.u32(g.at(0x5008)) & 0x58).toBe(0x58);
  expect(g.w.log).toContain('(d1) hi');
  expect(domainRecord.shutdownCode.get(g.mem, g.dom)).toBe(0);
});

test('a hypercall page written by MSR works', () => {
  const g = boot([
    ...movEcx(0x4000_0000),
    ...movEax(0x6000),
    0x31,
    0xd2,
    ...WRMSR,
    0xbc,
    ...u32(0x8000), // mov esp
    0x31,
    0xdb,
    0x31,
    0xc9,
    ...movEax(0x6000 + 17 * 32),
    0xff,
    0xd0,
    ...storeEax(0x5000),
    ...CLI_HLT,
  ]);
  expect(g.mem.u32(g.at(0x5000))).toBe(0x40011);
});

test('an unknown MSR is #GP, which without an IDT is a triple fault: the domain wants a reboot', () => {
  const g = boot([0x0f, 0x01, 0x1d, ...u32(0x7000), ...movEcx(0x1234_5678), 0x0f, 0x32, ...CLI_HLT]);
  expect(g.w.log.some((l) => l.includes('RDMSR 12345678 unimplemented'))).toBe(true);
  expect(g.w.log.some((l) => l.startsWith('(XEN) d1v0 Triple fault'))).toBe(true);
  expect(domainRecord.shutdownCode.get(g.mem, g.dom)).toBe(1);
});

test('an instruction that is not there is #UD, and named once in the log', () => {
  const lidt = [0x0f, 0x01, 0x1d, ...u32(0x7000)]; // of zeros: any exception ends it
  const g = boot([...lidt, 0x0f, 0x01, 0xde, ...CLI_HLT]);
  const named = () => g.w.log.filter((l) => l.includes('the instruction skinit'));
  expect(named()).toEqual(['(XEN) d1v0 tried to run the instruction skinit']);
  expect(g.w.log.some((l) => l.startsWith('(XEN) d1v0 Triple fault'))).toBe(true);
  const platform = new HvmPlatform(g.w.hv);
  for (let n = 0; n < 3; n++) platform.cannotRun(g.cpu, 'the instruction skinit');
  expect(named()).toHaveLength(2);
});

test('a second CPU starts by INIT and SIPI through x2APIC', () => {
  const wr = (msr: number, lo: number, hi: number): number[] => [
    ...movEcx(msr),
    ...movEax(lo),
    0xba,
    ...u32(hi),
    ...WRMSR,
  ];
  const code = [
    ...wr(0x1b, 0xfee0_0d00, 0), // x2APIC
    ...wr(0x80f, 0x1ff, 0),
    ...wr(0x830, 0x4500, 2), // INIT to APIC id 2
    ...wr(0x830, 0x4600 | (AP_ENTRY >>> 12), 2),
    ...CLI_HLT,
  ];
  // real mode: mov word [0x3000], 0xbeef; cli; hlt
  const g = boot(code, 2, [0xc7, 0x06, 0x00, 0x30, 0xef, 0xbe, ...CLI_HLT]);
  expect(g.mem.u16(g.at(0x3000))).toBe(0xbeef);
  expect(domainRecord.shutdown.get(g.mem, g.dom)).toBe(1);
});
