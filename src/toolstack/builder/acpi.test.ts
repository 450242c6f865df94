import { describe, expect, it } from 'vitest';
import { Mem } from '../../base/mem.ts';
import { cString, latin1 } from '../../base/text.ts';
import { type AcpiImage, buildAcpi, RSDP_SIZE } from './acpi.ts';
import * as t from './acpi-tables.ts';
import { device, integer, name, scope, string } from './aml.ts';

/** The tables of an image as a guest finds them, each checked on the way. */
function readTables(image: AcpiImage) {
  const mem = new Mem(image.bytes.slice().buffer);
  const sum = (at: number, length: number) => mem.slice(at, length).reduce((a, b) => (a + b) & 0xff, 0);
  const find = (address: number, signature: string) => {
    const at = address - image.base;
    const length = t.sdt_header.length.get(mem, at);
    expect(latin1(mem.slice(at, 4))).toBe(signature);
    expect(at + length).toBeLessThanOrEqual(image.size);
    return { at, length };
  };
  const table = (address: number, signature: string) => {
    const { at, length } = find(address, signature);
    expect(sum(at, length), signature).toBe(0);
    expect(cString(mem.slice(t.sdt_header.oem_id.addr(at), 6))).toBe('Xen');
    expect(cString(mem.slice(t.sdt_header.oem_table_id.addr(at), 8))).toBe('HVM');
    return { at, length, revision: t.sdt_header.revision.get(mem, at) };
  };
  const rsdp = image.rsdp - image.base;
  expect(latin1(mem.slice(rsdp, 8))).toBe('RSD PTR ');
  expect([sum(rsdp, 20), sum(rsdp, 36)]).toEqual([0, 0]);
  const xsdt = table(t.rsdp.xsdt_address.get(mem, rsdp), 'XSDT');
  expect(xsdt.length).toBe(36 + 2 * 8);
  const fadt = table(mem.n64(xsdt.at + 36), 'FACP');
  const madt = table(mem.n64(xsdt.at + 44), 'APIC');
  const dsdt = table(t.fadt.dsdt.get(mem, fadt.at), 'DSDT');
  const facs = find(t.fadt.firmware_ctrl.get(mem, fadt.at), 'FACS');
  return { mem, fadt, madt, dsdt, facs };
}

/** The MADT's entries as [type, processor id, APIC id, flags]. */
function cpus({ mem, madt }: ReturnType<typeof readTables>): number[][] {
  const out: number[][] = [];
  for (let at = madt.at + 44; at < madt.at + madt.length; at += mem.u8(at + 1)) {
    if (mem.u8(at) === 0) out.push([0, mem.u8(at + 2), mem.u8(at + 3), mem.u32(at + 4)]);
    else out.push([mem.u8(at), mem.u32(at + 12), mem.u32(at + 4), mem.u32(at + 8)]);
  }
  return out;
}

describe('the ACPI tables of a PVH domain', () => {
  it.each([1, 2, 128, 1000])('are sound and linked for %i vCPUs', (vcpus) => {
    const image = buildAcpi({ vcpus });
    const { mem, fadt, madt, dsdt, facs } = readTables(image);
    expect(image.base).toBe(0xfc000000);
    expect(image.bytes.length).toBe(image.size);
    expect(image.rsdp + RSDP_SIZE).toBe(image.base + image.size);
    expect([fadt.revision, madt.revision, dsdt.revision]).toEqual([5, 2, 5]);
    expect(fadt.length).toBe(0x10c);
    expect([facs.at, facs.length]).toEqual([0x1000, 64]);
    expect(t.fadt.x_dsdt.get(mem, fadt.at)).toBe(image.base + dsdt.at);
    expect(t.fadt.x_firmware_ctrl.get(mem, fadt.at)).toBe(image.base + facs.at);
  });

  it('are where and as long as those of Xen where these have the same contents', () => {
    const tables = readTables(buildAcpi({ vcpus: 2 }));
    expect([tables.dsdt.at, tables.madt.length]).toEqual([0x1040, 0x3c]);
  });

  it('can stand at another page', () => {
    const image = buildAcpi({ vcpus: 1, base: 0x1000 });
    expect(readTables(image).dsdt.at).toBe(0x1040);
    expect(() => buildAcpi({ vcpus: 1, base: 0x1010 })).toThrow('within a page');
  });

  it('say that there is no legacy hardware, and that this is not hardware-reduced ACPI', () => {
    const { mem, fadt, madt } = readTables(buildAcpi({ vcpus: 1 }));
    const u32 = (offset: number) => mem.u32(fadt.at + offset);
    expect({
      bootArch: mem.u16(fadt.at + 109),
      hwReduced: (u32(112) >>> 20) & 1,
      smiCommand: u32(48),
      pm1aEvent: u32(56),
      pm1aControl: u32(64),
      pmTimer: u32(76),
      gpe0: u32(80),
      extendedEvent: [...mem.slice(fadt.at + 148, 8)],
    }).toEqual({
      bootArch: 0x24,
      hwReduced: 0,
      smiCommand: 0,
      pm1aEvent: 0xb000,
      pm1aControl: 0xb004,
      pmTimer: 0,
      gpe0: 0,
      extendedEvent: [1, 32, 0, 2, 0, 0xb0, 0, 0],
    });
    expect([mem.u32(madt.at + 36), mem.u32(madt.at + 40)]).toEqual([0xfee00000, 0]);
  });

  it('give a vCPU the APIC id of twice its number, and mark those that are offline', () => {
    expect(cpus(readTables(buildAcpi({ vcpus: 3, online: 2 })))).toEqual([
      [0, 0, 0, 1],
      [0, 1, 2, 1],
      [0, 2, 4, 0],
    ]);
  });

  it('use x2APIC entries where an APIC id does not fit the others', () => {
    const entries = cpus(readTables(buildAcpi({ vcpus: 300 })));
    expect(entries).toHaveLength(300);
    expect(entries.slice(127, 129)).toEqual([
      [0, 127, 254, 1],
      [9, 128, 256, 1],
    ]);
  });

  it('have a processor device for each vCPU', () => {
    const { mem, dsdt } = readTables(buildAcpi({ vcpus: 2, online: 1 }));
    const body = latin1(mem.slice(dsdt.at + 36, dsdt.length - 36));
    expect([...body.matchAll(/P\d{3}/g)].map(String)).toEqual(['P000', 'P001']);
    const first = device('P000', name('_HID', string('ACPI0007')), name('_UID', [0]), name('_STA', [10, 15]));
    const second = device('P001', name('_HID', string('ACPI0007')), name('_UID', [1]), name('_STA', [0]));
    expect(body).toBe(latin1(Uint8Array.from(scope('\\_SB', first, second))));
  });
});

describe('AML', () => {
  it('has the shortest form of an integer', () => {
    const forms = [0, 1, 2, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_fffe].map((n) => integer(n));
    expect(forms).toEqual([
      [0],
      [1],
      [10, 2],
      [10, 255],
      [11, 0, 1],
      [11, 255, 255],
      [12, 0, 0, 1, 0],
      [12, 254, 255, 255, 255],
    ]);
  });

  it('counts the bytes of a package length in that length', () => {
    /** The head of a scope that holds `n` bytes behind its name. */
    const head = (n: number) => scope('A', Array<number>(n).fill(0)).slice(1, 6);
    expect(head(58).slice(0, 2)).toEqual([0x3f, 0x41]);
    expect(head(59).slice(0, 3)).toEqual([0x41, 0x04, 0x41]);
    expect(head(0xfff - 6).slice(0, 3)).toEqual([0x4f, 0xff, 0x41]);
    expect(head(0xfff - 5).slice(0, 4)).toEqual([0x81, 0x00, 0x01, 0x41]);
  });

  it('pads names, and refuses what is none', () => {
    expect(name('\\_SB', [0])).toEqual([8, 0x5c, 0x5f, 0x53, 0x42, 0x5f, 0]);
    expect(() => name('0ABC', [0])).toThrow('not an AML name');
    expect(() => name('ABCDE', [0])).toThrow('not an AML name');
  });
});
