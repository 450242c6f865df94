import { describe, expect, it } from 'vitest';
import * as p from '../../abi/hvm_params.ts';
import { parseConfig } from './parser.ts';
import { Settings } from './settings.ts';
import { readViridian } from './viridian.ts';

const read = (text: string): number => readViridian(new Settings(parseConfig(text, 'a.cfg', []), () => {}));
const USUAL =
  p.HVMPV_base_freq |
  p.HVMPV_time_ref_count |
  p.HVMPV_apic_assist |
  p.HVMPV_crash_ctl |
  p.HVMPV_no_vp_limit |
  p.HVMPV_cpu_hotplug;

describe('viridian', () => {
  it('is nothing, or the usual groups, for a switch', () => {
    for (const none of ['', 'viridian = 0', 'viridian = []']) expect(read(none)).toBe(0);
    expect(read('viridian = 1')).toBe(USUAL);
    expect(read('viridian = ["defaults"]')).toBe(USUAL);
  });

  it('is what a list names, with what that needs', () => {
    expect(read('viridian = ["base", "reference_tsc"]')).toBe(
      p.HVMPV_base_freq | p.HVMPV_no_freq | p.HVMPV_reference_tsc,
    );
    expect(read('viridian = ["base", "freq", "stimer"]')).toBe(
      p.HVMPV_base_freq | p.HVMPV_time_ref_count | p.HVMPV_synic | p.HVMPV_stimer,
    );
    expect(read('viridian = ["all"]')).toBe(0x1fff & ~p.HVMPV_no_freq);
  });

  it('takes groups away again', () => {
    expect(read('viridian = ["defaults", "!crash_ctl"]')).toBe(USUAL & ~p.HVMPV_crash_ctl);
    expect(read('viridian = ["all", "!freq", "!synic"]')).toBe(0x1fff);
    expect(read('viridian = ["base", "!synic", "synic"]') & p.HVMPV_synic).toBe(p.HVMPV_synic);
  });

  it('names what is wrong', () => {
    expect(() => read('viridian = ["base", "enlightenment"]')).toThrow('no group "enlightenment"');
    expect(() => read('viridian = ["stimer"]')).toThrow('"base"');
    expect(() => read('viridian = ["!stimer", "all"]')).toThrow('"stimer"');
  });
});
