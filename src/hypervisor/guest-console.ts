/**
 * A guest's debug output (port 0xe9, CONSOLEIO_write), gathered into lines in its record and logged one at a time.
 * Called with the hypervisor lock held.
 */
import { latin1 } from '../base/text.ts';
import type { Hypervisor } from './hypervisor.ts';
import { CONSOLE_LINE, domainRecord } from './records.ts';

const NEWLINE = 10;

export function guestConsoleByte(hv: Hypervisor, dom: number, byte: number): void {
  const { mem } = hv;
  const len = domainRecord.conLen.get(mem, dom);
  const line = domainRecord.conLine.addr(dom);
  if (byte !== NEWLINE && (byte >= 32 || byte === 9)) {
    mem.setU8(line + len, byte);
    domainRecord.conLen.set(mem, dom, len + 1);
    if (len + 1 < CONSOLE_LINE) return;
  } else if (byte !== NEWLINE) {
    return;
  }
  hv.printGuest(domainRecord.domid.get(mem, dom), latin1(mem.copy(line, domainRecord.conLen.get(mem, dom))));
  domainRecord.conLen.set(mem, dom, 0);
}
