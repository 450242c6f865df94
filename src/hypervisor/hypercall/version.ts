/** HYPERVISOR_xen_version. Each command writes its answer, or answers it as the result. @abi public/version.h */

import { HYPERVISOR_VIRT_START } from '../../abi/arch_x86.ts';
import { XEN_EFAULT, XEN_EINVAL, XEN_ENOBUFS, XEN_ENOSYS, XEN_EPERM } from '../../abi/errno.ts';
import * as f from '../../abi/features.ts';
import * as v from '../../abi/version.ts';
import { cString, fromLatin1 } from '../../base/text.ts';
import type { Caller } from '../guest-copy.ts';
import { DOMAIN_TYPE, domainRecord, rootRecord } from '../records.ts';
import * as self from '../version.ts';

const HVM_FEATURES =
  (1 << f.XENFEAT_writable_page_tables) |
  (1 << f.XENFEAT_auto_translated_physmap) |
  (1 << f.XENFEAT_hvm_callback_vector) |
  (1 << f.XENFEAT_hvm_safe_pvclock) |
  (1 << f.XENFEAT_memory_op_vnode_supported) |
  (1 << f.XENFEAT_not_direct_mapped);

function features(c: Caller): number {
  const dom0 = domainRecord.type.get(c.mem, c.dom) === DOMAIN_TYPE.dom0 ? 1 << f.XENFEAT_dom0 : 0;
  return HVM_FEATURES | dom0;
}

/** Writes a character array of fixed size. */
function putString(c: Caller, arg: number, text: string, size: number): number {
  const at = c.alloc(size);
  c.scratch.write(at, fromLatin1(text).subarray(0, size - 1));
  return c.copyOut(arg, at, size) ? 0 : -XEN_EFAULT;
}

function commandLine(c: Caller): string {
  const line = rootRecord.commandLine;
  return cString(c.mem.slice(line.addr(c.hv.root), line.type.size));
}

function compileInfo(c: Caller, arg: number): number {
  const s = v.xen_compile_info;
  const at = c.alloc(s.$.size);
  const put = (field: { addr(a: number): number; type: { size: number } }, text: string): void =>
    c.scratch.write(field.addr(at), fromLatin1(text).subarray(0, field.type.size - 1));
  put(s.compiler, self.XEN_COMPILER);
  put(s.compile_by, self.XEN_COMPILE_BY);
  put(s.compile_domain, self.XEN_COMPILE_DOMAIN);
  put(s.compile_date, self.XEN_COMPILE_DATE);
  return c.copyOut(arg, at, s.$.size) ? 0 : -XEN_EFAULT;
}

function platformParameters(c: Caller, arg: number): number {
  const s = c.layout(v.xen_platform_parameters, v.xen_platform_parameters_32);
  const at = c.alloc(s.$.size);
  if (c.wide) c.scratch.setU64(at, HYPERVISOR_VIRT_START);
  else c.scratch.setU32(at, 0xf5800000);
  return c.copyOut(arg, at, s.$.size) ? 0 : -XEN_EFAULT;
}

function getFeatures(c: Caller, arg: number): number {
  const s = v.xen_feature_info;
  const at = c.copyIn(arg, s.$.size);
  if (at < 0) return -XEN_EFAULT;
  if (s.submap_idx.get(c.scratch, at) !== 0) return -XEN_EINVAL;
  s.submap.set(c.scratch, at, features(c));
  return c.copyOut(arg, at, s.$.size) ? 0 : -XEN_EFAULT;
}

function guestHandle(c: Caller, arg: number): number {
  const at = c.alloc(16);
  c.scratch.write(at, c.mem.slice(domainRecord.handle.addr(c.dom), 16));
  return c.copyOut(arg, at, 16) ? 0 : -XEN_EFAULT;
}

function buildId(c: Caller, arg: number): number {
  const id = self.XEN_BUILD_ID;
  if (arg === 0) return id.length;
  const s = v.xen_build_id;
  const at = c.copyIn(arg, 4);
  if (at < 0) return -XEN_EFAULT;
  const room = s.len.get(c.scratch, at);
  if (room === 0) return -XEN_EINVAL;
  if (room < id.length) return -XEN_ENOBUFS;
  const copy = c.alloc(id.length);
  c.scratch.write(copy, id);
  return c.copyOut(arg + s.buf.offset, copy, id.length) ? id.length : -XEN_EFAULT;
}

export function doXenVersion(c: Caller, cmd: number, arg: number): number {
  switch (cmd >>> 0) {
    case v.XENVER_version:
      return (self.XEN_VERSION << 16) | self.XEN_SUBVERSION;
    case v.XENVER_extraversion:
      return putString(c, arg, self.XEN_EXTRAVERSION, v.XEN_EXTRAVERSION_LEN);
    case v.XENVER_compile_info:
      return compileInfo(c, arg);
    case v.XENVER_capabilities:
      return putString(c, arg, self.XEN_CAPABILITIES, v.XEN_CAPABILITIES_INFO_LEN);
    case v.XENVER_changeset:
      return putString(c, arg, self.XEN_CHANGESET, v.XEN_CHANGESET_INFO_LEN);
    case v.XENVER_platform_parameters:
      return platformParameters(c, arg);
    case v.XENVER_get_features:
      return getFeatures(c, arg);
    case v.XENVER_pagesize:
      return arg === 0 ? 4096 : -XEN_EINVAL;
    case v.XENVER_guest_handle:
      return guestHandle(c, arg);
    case v.XENVER_commandline:
      return putString(c, arg, c.privileged ? commandLine(c) : '<denied>', v.XEN_COMMANDLINE_LEN);
    case v.XENVER_build_id:
      return c.privileged ? buildId(c, arg) : -XEN_EPERM;
    default:
      return -XEN_ENOSYS;
  }
}
