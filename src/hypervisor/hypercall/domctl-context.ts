/**
 * Domctls that read and write the HVM context: a chain of save records. The stream is copied record by record, so that
 * its length needs no room here.
 *
 * @abi public/hvm/save.h
 */
import * as d from '../../abi/domctl.ts';
import {
  XEN_EFAULT,
  XEN_EINVAL,
  XEN_ENODATA,
  XEN_ENOENT,
  XEN_ENOSPC,
  XEN_ERESTART,
} from '../../abi/errno.ts';
import { HVM_SAVE_CODE, hvm_save_descriptor } from '../../abi/hvm_save.ts';
import { anyRunning, forEachVcpu } from '../domain/domain.ts';
import type { Caller } from '../guest-copy.ts';
import { HVM_RECORDS, loadRecord } from '../hvm/save.ts';
import type { SaveRecord } from '../hvm/save-record.ts';
import { domainRecord, vcpuRecord } from '../records.ts';
import type { DomctlOp } from './domctl.ts';

const HEAD = hvm_save_descriptor.$.size;
const MAX_RECORD = 8192;

/** Calls `emit` for each record of the domain's context, in order; stops when it answers non-zero. */
function eachRecord(
  c: Caller,
  dom: number,
  emit: (r: SaveRecord, v: number, instance: number) => number,
): number {
  let result = 0;
  for (const record of HVM_RECORDS) {
    if (record.present?.(c.hv, dom) === false) continue;
    if (!record.perVcpu) {
      result ||= emit(record, c.hv.vcpu(dom, 0), 0);
      continue;
    }
    forEachVcpu(c.hv, dom, (v) => {
      result ||= emit(record, v, vcpuRecord.id.get(c.mem, v));
    });
  }
  return result;
}

export const gethvmcontext: DomctlOp = (c, dom, u) => {
  const s = d.xen_domctl_hvmcontext;
  if (anyRunning(c.hv, dom)) return -XEN_ERESTART;
  let need = HEAD;
  eachRecord(c, dom, (r) => {
    need += HEAD + r.size;
    return 0;
  });
  const buffer = s.buffer.get(c.scratch, u);
  const room = s.size.get(c.scratch, u);
  s.size.set(c.scratch, u, need);
  if (buffer === 0) return 0;
  if (room < need) return -XEN_ENOSPC;
  let to = buffer;
  const put = (code: number, instance: number, size: number, fill: (at: number) => void): number => {
    const mark = c.mark();
    const at = c.alloc(HEAD + size);
    hvm_save_descriptor.typecode.set(c.scratch, at, code);
    hvm_save_descriptor.instance.set(c.scratch, at, instance);
    hvm_save_descriptor.length.set(c.scratch, at, size);
    fill(at + HEAD);
    if (!c.copyOut(to, at, HEAD + size)) return -XEN_EFAULT;
    to += HEAD + size;
    c.release(mark);
    return 0;
  };
  const bad = eachRecord(c, dom, (r, v, instance) =>
    put(r.code, instance, r.size, (at) => r.save(c.hv, v, c.scratch, at)),
  );
  return bad || put(HVM_SAVE_CODE.END, 0, 0, () => {});
};

/** One record's body. */
export const gethvmcontext_partial: DomctlOp = (c, dom, u) => {
  const s = d.xen_domctl_hvmcontext_partial;
  const record = HVM_RECORDS.find((r) => r.code === s.type.get(c.scratch, u));
  if (record === undefined) return -XEN_EINVAL;
  const v = c.hv.vcpu(dom, s.instance.get(c.scratch, u));
  if (v === 0) return -XEN_ENOENT;
  if (record.present?.(c.hv, dom) === false) return -XEN_ENODATA;
  if (anyRunning(c.hv, dom)) return -XEN_ERESTART;
  const buffer = s.buffer.get(c.scratch, u);
  const room = s.bufsz.get(c.scratch, u);
  s.bufsz.set(c.scratch, u, record.size);
  if (buffer === 0) return 0;
  if (room < record.size) return -XEN_ENOSPC;
  const at = c.alloc(record.size);
  record.save(c.hv, v, c.scratch, at);
  return c.copyOut(buffer, at, record.size) ? 0 : -XEN_EFAULT;
};

/** Loads a chain that starts with HEADER and ends with END. */
export const sethvmcontext: DomctlOp = (c, dom, u) => {
  const s = d.xen_domctl_hvmcontext;
  const size = s.size.get(c.scratch, u);
  const buffer = s.buffer.get(c.scratch, u);
  if (dom === c.dom) return -XEN_EINVAL;
  if (anyRunning(c.hv, dom)) return -XEN_ERESTART;
  for (let done = 0, first = true; ; first = false) {
    const mark = c.mark();
    if (done + HEAD > size) return -XEN_ENODATA;
    const head = c.copyIn(buffer + done, HEAD);
    if (head < 0) return -XEN_EFAULT;
    const code = hvm_save_descriptor.typecode.get(c.scratch, head);
    const instance = hvm_save_descriptor.instance.get(c.scratch, head);
    const length = hvm_save_descriptor.length.get(c.scratch, head);
    if (code === HVM_SAVE_CODE.END) return first ? -XEN_EINVAL : 0;
    if (first !== (code === HVM_SAVE_CODE.HEADER) || length > MAX_RECORD) return -XEN_EINVAL;
    if (done + HEAD + length > size) return -XEN_ENODATA;
    const body = c.copyIn(buffer + done + HEAD, length);
    if (body < 0) return -XEN_EFAULT;
    const bad = loadRecord(c.hv, dom, code, instance, c.scratch, body, length);
    if (bad !== 0) {
      c.hv.print(
        `HVM${domainRecord.domid.get(c.mem, dom)} restore: record ${code} instance ${instance} refused`,
        'warn',
      );
      return bad;
    }
    done += HEAD + length;
    c.release(mark);
  }
};
