/** Says hello and which Xen it runs on, by CPUID and by hypercall. */
import { XEN_EXTRAVERSION_LEN, XENVER_extraversion, XENVER_version } from '../../src/abi/version.ts';
import { __HYPERVISOR_xen_version } from '../../src/abi/xen.ts';
import type { Guest } from '../guest.ts';
import { indexed, mem, R } from '../registers.ts';

export function hello(g: Guest): void {
  const { a } = g;
  for (const name of ['major', 'minor', 'extraLength']) g.variable(name, 8);
  g.variable('extra', XEN_EXTRAVERSION_LEN);
  g.print(`Hello from a Domzero guest (${g.bits}-bit)\n`);
  a.alu('cmp', mem(32, 'rt.xenBase'), 0);
  g.when('z', () => {
    g.print('There is no Xen here.\n');
    g.note('SKIP');
    g.end();
  });
  g.hypercall(__HYPERVISOR_xen_version, XENVER_version, 0);
  a.alu('cmp', R.eax, mem(32, 'rt.xenVersion'));
  g.when('nz', () =>
    g.fail('xen_version says ', { hex: g.r('ax') }, ', CPUID ', { hex: g.word('rt.xenVersion') }),
  );
  splitVersion(g);
  g.hypercall(__HYPERVISOR_xen_version, XENVER_extraversion, 'extra');
  a.test(g.r('ax'), g.r('ax'));
  g.when('nz', () => g.fail('extraversion: ', { dec: g.r('ax') }));
  measureText(g);
  const extra = { text: 'extra', length: mem(32, 'extraLength') };
  g.print('Xen version: ', { dec: mem(32, 'major') }, '.', { dec: mem(32, 'minor') }, extra, '\n');
}

function splitVersion(g: Guest): void {
  const { a } = g;
  a.mov(R.eax, mem(32, 'rt.xenVersion'));
  a.movzx(R.ecx, R.ax);
  a.shift('shr', R.eax, 16);
  a.mov(mem(32, 'major'), R.eax);
  a.mov(mem(32, 'minor'), R.ecx);
}

/** extraLength: bytes of `extra` before its NUL. */
function measureText(g: Guest): void {
  const { a } = g;
  a.alu('xor', R.ecx, R.ecx);
  a.label('measure');
  a.alu('cmp', indexed(8, 'extra', g.r('cx')), 0);
  a.j('z', 'measured');
  a.inc(R.ecx);
  a.alu('cmp', R.ecx, XEN_EXTRAVERSION_LEN);
  a.j('b', 'measure');
  a.label('measured');
  a.mov(mem(32, 'extraLength'), R.ecx);
}
