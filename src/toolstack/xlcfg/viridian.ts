/**
 * `viridian`: Microsoft's enlightenments, as a switch for the usual ones or a list of groups, `!GROUP` for one less.
 *
 * DIVERGES: xl has them for HVM guests only.
 */
import * as p from '../../abi/hvm_params.ts';
import type { Settings } from './settings.ts';

/** Bits of HVM_PARAM_VIRIDIAN that each group brings; for `freq` it is the absence of a bit. */
const GROUPS: ReadonlyMap<string, number> = new Map([
  ['base', p.HVMPV_base_freq],
  ['freq', 0],
  ['time_ref_count', p.HVMPV_time_ref_count],
  ['reference_tsc', p.HVMPV_reference_tsc],
  ['hcall_remote_tlb_flush', p.HVMPV_hcall_remote_tlb_flush],
  ['apic_assist', p.HVMPV_apic_assist],
  ['crash_ctl', p.HVMPV_crash_ctl],
  ['synic', p.HVMPV_synic],
  ['stimer', p.HVMPV_time_ref_count | p.HVMPV_synic | p.HVMPV_stimer],
  ['hcall_ipi', p.HVMPV_hcall_ipi],
  ['ex_processor_masks', p.HVMPV_ex_processor_masks],
  ['no_vp_limit', p.HVMPV_no_vp_limit],
  ['cpu_hotplug', p.HVMPV_cpu_hotplug],
]);
const DEFAULTS = 'base freq time_ref_count apic_assist crash_ctl no_vp_limit cpu_hotplug'.split(' ');

/** The value of HVM_PARAM_VIRIDIAN; 0 for none. */
export function readViridian(s: Settings): number {
  const value = s.stringOrList('viridian');
  const groups = Array.isArray(value) ? listed(s, value) : new Set(s.bool('viridian') ? DEFAULTS : []);
  if (groups.size === 0) return 0;
  if (!groups.has('base')) s.fail('viridian', '\'viridian\' has groups that need the group "base"');
  let mask = groups.has('freq') ? 0 : p.HVMPV_no_freq;
  for (const group of groups) mask |= GROUPS.get(group)!;
  return mask;
}

function listed(s: Settings, items: readonly string[]): Set<string> {
  const wanted = new Set<string>();
  const unwanted = new Set<string>();
  for (const item of items.filter((i) => i !== 'defaults')) {
    const group = item.replace(/^!/, '');
    if (item !== 'all' && !GROUPS.has(group)) s.fail('viridian', `'viridian' has no group "${group}"`);
    const [to, from] = item === group ? [wanted, unwanted] : [unwanted, wanted];
    for (const name of item === 'all' ? GROUPS.keys() : [group]) to.add(name);
    from.delete(group);
  }
  for (const group of wanted)
    if (unwanted.has(group)) s.fail('viridian', `'viridian' both asks for "${group}" and does without`);
  const defaults = items.includes('defaults') ? DEFAULTS.filter((group) => !unwanted.has(group)) : [];
  return new Set([...defaults, ...wanted]);
}
