/**
 * Makes src/abi/golden.json: the size of every structure of src/abi, the offset and size of each of its fields, and the
 * value of every constant, as a C compiler finds them in Xen's public headers, for 64-bit guests and for 32-bit ones.
 *
 *   node tools/abi-golden.mjs [directory of the headers, /usr/include/xen by default]
 *
 * Needs gcc with -m32 (no 32-bit libraries) and objcopy. The test that compares needs neither.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const abi = fileURLToPath(new URL('../src/abi/', import.meta.url));
const include = process.argv[2] ?? '/usr/include/xen';

const HEADERS = [
  'xen.h',
  'features.h',
  'version.h',
  'event_channel.h',
  'grant_table.h',
  'memory.h',
  'sched.h',
  'vcpu.h',
  'callback.h',
  'nmi.h',
  'physdev.h',
  'errno.h',
  'hvm/hvm_op.h',
  'hvm/params.h',
  'hvm/e820.h',
  'hvm/hvm_info_table.h',
  'hvm/hvm_vcpu.h',
  'hvm/save.h',
  'arch-x86/hvm/start_info.h',
  'arch-x86/cpuid.h',
  'domctl.h',
  'sysctl.h',
  'platform.h',
  'elfnote.h',
  'io/console.h',
  'io/xs_wire.h',
  'io/xenbus.h',
  'io/ring.h',
];

/** Files whose contents are not in the public headers, and single names that are not. */
const OWN_FILES = new Set(['hvm_layout.ts']);
const OWN = new Set([
  'e820entry', // ACPI
  'E820_RAM',
  'E820_RESERVED',
  'E820_ACPI',
  'E820_NVS',
  'E820_UNUSABLE',
  'MMU_UPDATE_PREEMPTED',
  'MEMOP_CMD_MASK',
  'MEMOP_EXTENT_SHIFT',
  'XEN_HYPERCALL_MSR', // encodings, in prose only
  'XEN_ELFNOTE_PHYS32_RELOC', // newer than 4.17
  'XEN_ERRNO.XEN_EINTR',
  'XEN_ERRNO.XEN_ERESTART',
  'XEN_EINTR',
  'XEN_ERESTART', // the hypervisor's own
]);

/** Constants that C has as enumerators: the preprocessor cannot tell whether they exist. */
const ENUMERATORS = /^(XS_|XENMEM_access_(?!op)|XenbusState|HVMMEM_|PT_IRQ_TYPE_|XEN_E[A-Z0-9]+$)/;

/** What to ask C for where a constant's name is not enough; `m32`: of the 32-bit headers. */
const EXPRESSIONS = [
  [/^XEN_ERRNO\.(\w+)$/, '$1'],
  [/^HVM_SAVE_CODE\.(CPU_XSAVE|CPU_MSR)$/, '$1_CODE'],
  [/^HVM_SAVE_CODE\.(\w+)$/, 'HVM_SAVE_CODE($1)'],
  [/^XENCONS_(IN|OUT)_SIZE$/, (m) => `sizeof(((struct xencons_interface *)0)->${m[1].toLowerCase()})`],
  [/^XEN_COMMANDLINE_LEN$/, 'sizeof(xen_commandline_t)'],
  [/^XEN_DOMAIN_HANDLE_BYTES$/, 'sizeof(xen_domain_handle_t)'],
  [/^XENMEM_resource_ioreq_server_frame_ioreq0$/, 'XENMEM_resource_ioreq_server_frame_ioreq(0)'],
  [/^FLAT_SELECTORS_32\.(\w+)$/, '$1', 'm32'],
  [/^(EVTCHN_2L_NR_CHANNELS)_32$/, '$1', 'm32'],
];

/** Types that are not `struct name`. */
const TYPES = {
  grant_entry_v2: 'union grant_entry_v2',
  hvm_hw_hpet_timer: '__typeof__(((struct hvm_hw_hpet *)0)->timers[0])',
  sring: 'struct golden_sring',
};
/** Without a 32-bit form: the 32-bit iret frame is another; saved contexts have the hypervisor's own layout. */
const ONLY_64 = new Set(['iret_context', 'hvm_msr']);

/** Fields of unions and inner structures carry their path's last parts only; here is the rest, by prefix. */
const u = (...names) => Object.fromEntries(names.map((n) => [`${n}_`, `u.${n}.`]));
const PATHS = {
  mmuext_op: {
    mfn: 'arg1.mfn',
    linear_addr: 'arg1.linear_addr',
    nr_ents: 'arg2.nr_ents',
    vcpumask: 'arg2.vcpumask',
    src_mfn: 'arg2.src_mfn',
  },
  vcpu_info: { arch_: 'arch.' },
  shared_info: { arch_: 'arch.' },
  shared_info_32: { arch_: 'arch.', wc_sec_hi: 'arch.wc_sec_hi' },
  start_info: { console_domU_: 'console.domU.', console_dom0_: 'console.dom0.' },
  evtchn_status: { ...u('unbound', 'interdomain'), pirq: 'u.pirq', virq: 'u.virq' },
  grant_entry_v2: {
    flags: 'hdr.flags',
    domid: 'hdr.domid',
    full_page_: 'full_page.',
    sub_page_: 'sub_page.',
    transitive_: 'transitive.',
  },
  gnttab_copy: {
    source_ref: 'source.u.ref',
    source_gmfn: 'source.u.gmfn',
    source_: 'source.',
    dest_ref: 'dest.u.ref',
    dest_gmfn: 'dest.u.gmfn',
    dest_: 'dest.',
  },
  gnttab_cache_flush: { dev_bus_addr: 'a.dev_bus_addr', ref: 'a.ref' },
  xen_add_to_physmap_batch: { foreign_domid: 'u.foreign_domid' },
  xen_foreign_memory_map: { map_: 'map.' },
  xen_reserved_device_memory_map: { pci_: 'dev.pci.' },
  xen_vnuma_topology_info: {
    vdistance: 'vdistance.h',
    vcpu_to_vnode: 'vcpu_to_vnode.h',
    vmemrange: 'vmemrange.h',
  },
  vcpu_register_runstate_memory_area: { addr: 'addr.h' },
  vcpu_register_time_memory_area: { addr: 'addr.h' },
  callback_register_32: { address_: 'address.' },
  physdev_pci_device_add: { physfn_: 'physfn.' },
  physdev_dbgp_op: { pci_: 'u.pci.' },
  hvm_hw_cpu_xsave: {
    fpu_sse: 'save_area.fpu_sse',
    xstate_bv: 'save_area.xsave_hdr.xstate_bv',
    xcomp_bv: 'save_area.xsave_hdr.xcomp_bv',
    reserved: 'save_area.xsave_hdr.reserved',
  },
  /** Bit fields have no address. */
  hvm_hw_vpic: { init: null, flags: null },
  xen_domctl_shadow_op: { stats_: 'stats.' },
  xen_domctl_scheduler_op: u('credit', 'credit2', 'rtds', 'v'),
  xen_domctl_schedparam_vcpu: u('rtds'),
  xen_domctl_assign_device: u('pci', 'dt'),
  xen_domctl_bind_pt_irq: u('isa', 'pci', 'msi', 'spi'),
  xen_domctl_ext_vcpucontext: { vmce_: 'vmce.' },
  xen_domctl_vm_event_op: { ...u('enable'), version: 'u.version' },
  xen_sysctl_scheduler_op: u('sched_arinc653', 'sched_credit', 'sched_credit2'),
};

const scratch = mkdtempSync(join(tmpdir(), 'abi-golden-'));

/** Every export of src/abi, by file. */
async function loadAbi() {
  const files = readdirSync(abi).filter((f) => f.endsWith('.ts') && !f.endsWith('.test.ts'));
  const entry = files.map((f, i) => `import * as m${i} from './${f}'; all['${f}'] = m${i};`).join('\n');
  const outfile = join(scratch, 'abi.mjs');
  await build({
    stdin: { contents: `export const all = {};\n${entry}`, resolveDir: abi, loader: 'ts' },
    bundle: true,
    format: 'esm',
    outfile,
    logLevel: 'error',
  });
  return (await import(pathToFileURL(outfile).href)).all;
}

/** Compiles rows of unsigned expressions (null: all zero) and answers their values. */
function evaluate(rows, flags) {
  const columns = Math.max(...rows.map((r) => r.values.length));
  const cell = (r) => Array.from({ length: columns }, (_, i) => `(unsigned)(${r.values[i] ?? 0})`).join(', ');
  const body = rows.map((r) =>
    r.ifdef
      ? `#ifdef ${r.ifdef}\n1, ${cell(r)},\n#else\n0, ${'0, '.repeat(columns)}\n#endif`
      : `1, ${cell(r)},`,
  );
  const source = [
    '#include <stddef.h>',
    '#include <stdint.h>',
    '#define __XEN_TOOLS__ 1',
    ...HEADERS.map((h) => `#include "${join(include, h)}"`),
    'struct golden_empty {};',
    'DEFINE_RING_TYPES(golden, struct golden_empty, struct golden_empty);',
    '__attribute__((section("table"), used)) const unsigned golden[] = {',
    ...body,
    '};',
  ];
  const [c, o, bin] = ['golden.c', 'golden.o', 'golden.bin'].map((f) => join(scratch, f));
  writeFileSync(c, `${source.join('\n')}\n`);
  execFileSync('gcc', ['-w', '-ffreestanding', ...flags, '-c', c, '-o', o], { stdio: 'inherit' });
  execFileSync('objcopy', ['-O', 'binary', '--only-section=table', o, bin]);
  const bytes = readFileSync(bin);
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  return rows.map((_, i) => [...words.subarray(i * (columns + 1), (i + 1) * (columns + 1))]);
}

function cPath(paths, field) {
  if (field in paths) return paths[field];
  const prefix = Object.keys(paths).filter((p) => p.endsWith('_') && field.startsWith(p));
  const longest = prefix.sort((a, b) => b.length - a.length)[0];
  return longest ? paths[longest] + field.slice(longest.length) : field;
}

/** "size: field offset+size, ..." of each layout; ? for what C cannot take the address of. */
function layouts(exported, flags) {
  const rows = [];
  for (const [name, layout] of exported) {
    const type = TYPES[layout.$.name] ?? `struct ${layout.$.name}`;
    rows.push({ name, values: [`sizeof(${type})`] });
    for (const field of layout.$.fields) {
      const path = cPath(PATHS[name] ?? PATHS[layout.$.name] ?? {}, field);
      const size = layout[field].type.size === 0 || path === null ? '0' : `sizeof(((${type} *)0)->${path})`;
      const offset = path === null ? '0' : `__builtin_offsetof(${type}, ${path})`;
      rows.push({ name, field, bits: path === null, values: [offset, size] });
    }
  }
  const out = {};
  evaluate(rows, flags).forEach(([, a, b], i) => {
    const { name, field, bits } = rows[i];
    if (field === undefined) out[name] = `${a}:`;
    else out[name] += `${out[name].endsWith(':') ? '' : ','} ${field} ${bits ? '?' : `${a}+${b}`}`;
  });
  return out;
}

function constants(names) {
  const ask = (name) => {
    const [pattern, to, width] = EXPRESSIONS.find(([p]) => p.test(name)) ?? [/.*/s, name];
    const c = typeof to === 'function' ? to(pattern.exec(name)) : name.replace(pattern, to);
    const macro = /^\w+$/.test(c) && !ENUMERATORS.test(c);
    const values = [c, `(unsigned long long)(${c}) >> 32`, `(${c}) < 0`];
    return { name, width, values, ...(macro ? { ifdef: c } : {}) };
  };
  const rows = names.map(ask);
  const out = new Map();
  const missing = [];
  for (const m32 of [false, true]) {
    const part = rows.filter((r) => (r.width === 'm32') === m32);
    evaluate(part, m32 ? ['-m32'] : []).forEach(([found, lo, hi, negative], i) => {
      const value = (BigInt(hi) << 32n) | BigInt(lo);
      if (!found) missing.push(part[i].name);
      out.set(part[i].name, (negative ? BigInt.asIntN(64, value) : value).toString());
    });
  }
  if (missing.length > 0) throw new Error(`not in the headers: ${missing.join(', ')}`);
  return Object.fromEntries(names.map((n) => [n, out.get(n)]));
}

/** Names of numbers among a module's exports, those in tables as TABLE.NAME. */
function* numbers(module) {
  for (const [name, value] of Object.entries(module)) {
    if (typeof value === 'number' || typeof value === 'bigint') yield name;
    else if (typeof value === 'object' && !Array.isArray(value) && !('$' in value) && !('align' in value)) {
      for (const [key, v] of Object.entries(value)) if (typeof v === 'number') yield `${name}.${key}`;
    }
  }
}

try {
  const modules = Object.entries(await loadAbi()).filter(([file]) => !OWN_FILES.has(file));
  const structs = modules
    .flatMap(([, m]) => Object.entries(m))
    .filter(([name, v]) => typeof v === 'object' && '$' in v && !OWN.has(name));
  const names = modules
    .flatMap(([, m]) => [...numbers(m)])
    .filter((n) => !OWN.has(n) && n !== 'W32.bits' && n !== 'W64.bits');
  const all = new Set(structs.map(([n]) => n));
  // A layout of the 32-bit width is exported under another name than its structure's.
  const narrow = ([n, layout]) => n !== layout.$.name;
  const both = ([n]) => !all.has(`${n}_32`) && !ONLY_64.has(n);
  const golden = {
    lp64: layouts(
      structs.filter((s) => !narrow(s)),
      [],
    ),
    ilp32: layouts(
      structs.filter((s) => narrow(s) || both(s)),
      ['-m32'],
    ),
    constants: constants(names),
    notInHeaders: [...OWN_FILES, ...OWN],
  };
  writeFileSync(join(abi, 'golden.json'), `${JSON.stringify(golden, null, 2)}\n`);
  console.log(`${structs.length} layouts, ${names.length} constants`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
