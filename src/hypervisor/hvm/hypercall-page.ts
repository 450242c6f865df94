/** The hypercall page of AMD HVM guests: stub n, at 32 * n, puts n in EAX and does VMMCALL. */
import { __HYPERVISOR_iret } from '../../abi/xen.ts';
import type { Mem } from '../../base/mem.ts';

const STUB_BYTES = 32;
const STUBS = 4096 / STUB_BYTES;

export function writeHypercallPage(m: Mem, page: number): void {
  m.fill(page, 4096, 0xcc);
  for (let n = 0; n < STUBS; n++) {
    const at = page + n * STUB_BYTES;
    if (n === __HYPERVISOR_iret) {
      m.setU16(at, 0x0b0f); // UD2: no such call in HVM
      continue;
    }
    m.setU8(at, 0xb8);
    m.setU32(at + 1, n);
    m.setU8(at + 5, 0x0f);
    m.setU8(at + 6, 0x01);
    m.setU8(at + 7, 0xd9);
    m.setU8(at + 8, 0xc3);
  }
}
