/**
 * Frames that hold translated code. Code that is not an engine's own store (a copy to guest memory, a frame that changes
 * hands, a foreign mapping that goes away) must tell every engine to forget what it made from the frame. The engine of
 * this thread is told at once; another CPU finds the frame in its list before it runs a guest again.
 *
 *   list page: u32 next page's address | u32 count | mfns
 */
import { frameInfo } from '../../machine/machine.ts';
import type { Engine } from '../../machine/platform.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { pcpuRecord } from '../records.ts';

const PER_PAGE = 1022;

/** Called with the hypervisor lock held, after bytes of the frame changed behind the engines' back. */
export function frameWritten(hv: Hypervisor, mfn: number): void {
  const info = hv.machine.frame(mfn);
  if ((frameInfo.codeLo.get(hv.mem, info) | frameInfo.codeHi.get(hv.mem, info)) === 0) return;
  for (let id = 0; id < hv.pcpuCount; id++) {
    if (id !== hv.pcpu) queueDrop(hv, id, mfn);
  }
  hv.engine?.dropCode(mfn);
}

function queueDrop(hv: Hypervisor, id: number, mfn: number): void {
  const { mem } = hv;
  const pcpu = hv.pcpuAt(id);
  let page = pcpuRecord.dropList.get(mem, pcpu);
  if (page === 0 || mem.u32(page + 4) === PER_PAGE) {
    const fresh = hv.machine.allocFrame();
    if (fresh < 0) {
      hv.print(`no memory to tell CPU${id} that frame ${mfn} changed`, 'error');
      return;
    }
    mem.setU32(fresh * 4096, page);
    page = fresh * 4096;
    pcpuRecord.dropList.set(mem, pcpu, page);
  }
  const n = mem.u32(page + 4);
  mem.setU32(page + 8 + n * 4, mfn);
  mem.setU32(page + 4, n + 1);
  hv.kickPcpu(id);
}

/** Forgets what was queued for this CPU. Called with the hypervisor lock held, before a guest runs. */
export function drainDrops(hv: Hypervisor, engine: Engine): void {
  const { mem } = hv;
  const pcpu = hv.pcpuAt(hv.pcpu);
  for (let page = pcpuRecord.dropList.get(mem, pcpu); page !== 0; ) {
    const n = mem.u32(page + 4);
    for (let i = 0; i < n; i++) engine.dropCode(mem.u32(page + 8 + i * 4));
    const next = mem.u32(page);
    hv.machine.freeFrameRun(page >>> 12);
    page = next;
  }
  pcpuRecord.dropList.set(mem, pcpu, 0);
}
