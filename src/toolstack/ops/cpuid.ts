/** Gives a domain the CPU policy that its configuration wishes for, as far as the CPU goes. */
import { XEN_CPUID_NO_SUBLEAF } from '../../abi/arch_x86.ts';
import type { CpuidLeaf, Kernel as Dom0 } from '../../kernel/index.ts';
import type { CpuidWish } from '../xlcfg/cpuid.ts';
import { CPUID_FIELDS, REGISTERS, type Register } from '../xlcfg/cpuid-names.ts';

type Place = Pick<CpuidWish, 'leaf' | 'subleaf'>;

const find = (policy: readonly CpuidLeaf[], { leaf, subleaf }: Place): CpuidLeaf | undefined =>
  policy.find((l) => l.leaf === leaf && l.subleaf === (subleaf ?? XEN_CPUID_NO_SUBLEAF)) ??
  policy.find(
    (l) => l.leaf === leaf && (subleaf ?? 0) === 0 && [0, XEN_CPUID_NO_SUBLEAF].includes(l.subleaf),
  );

/** A register as wished for, where `dflt` and `host` are what x and k mean. */
function wished(bits: string, dflt: number, host: number): number {
  let word = 0;
  for (let i = 0; i < 32; i++) {
    const bit = 2 ** (31 - i);
    const source = bits[i] === 'x' ? dflt : host;
    if (bits[i] === '1' || (bits[i] !== '0' && (source & bit) !== 0)) word += bit;
  }
  return word;
}

/** Answers what was asked for and is not there, by name. */
export function applyCpuid(dom0: Dom0, domid: number, wishes: readonly CpuidWish[]): string[] {
  if (wishes.length === 0) return [];
  const { cpuPolicies } = dom0;
  const host = cpuPolicies.host();
  const leaves = cpuPolicies.get(domid).map((l) => ({ ...l, words: [...l.words] }));
  for (const wish of wishes) {
    const now = find(leaves, wish)?.words as number[] | undefined;
    const all = find(host, wish)?.words;
    for (const [register, bits] of Object.entries(wish.registers)) {
      const k = REGISTERS.indexOf(register as Register);
      if (now && all) now[k] = wished(bits, now[k]!, all[k]!);
    }
  }
  cpuPolicies.set(domid, leaves);
  return missing(wishes, cpuPolicies.get(domid));
}

function missing(wishes: readonly CpuidWish[], policy: readonly CpuidLeaf[]): string[] {
  return wishes.flatMap((wish) =>
    Object.entries(wish.registers).flatMap(([register, bits]) => {
      const has = find(policy, wish)?.words[REGISTERS.indexOf(register as Register)] ?? 0;
      const lacks = [...Array(32).keys()].filter(
        (bit) => bits[31 - bit] === '1' && ((has >>> bit) & 1) === 0,
      );
      return [...new Set(lacks.map((bit) => nameOf(wish, register as Register, bit)))];
    }),
  );
}

/** The name of the field that a bit is in, or its place. */
function nameOf(place: Place, register: Register, bit: number): string {
  for (const [name, f] of CPUID_FIELDS) {
    if (f.leaf !== place.leaf || f.register !== register || (f.subleaf ?? 0) !== (place.subleaf ?? 0))
      continue;
    if (bit >= f.bit && bit < f.bit + f.length) return name;
  }
  const leaf = `0x${place.leaf.toString(16)}${place.subleaf === undefined ? '' : `,${place.subleaf}`}`;
  return `bit ${bit} of ${leaf}:${register}`;
}
