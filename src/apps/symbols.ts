/** A kernel's functions by address, as its System.map (or /proc/kallsyms) lists them: `ffffffff81000000 T _text`. */

const LINE = /^([0-9a-f]{8,16}) ([A-Za-z]) (\S+)/;
const CODE = /[tTwW]/;
/** What lies further behind the last symbol is not its. */
const REACH = 1 << 20;

export class SymbolMap {
  private readonly addresses: number[] = [];
  private readonly names: string[] = [];

  /** Throws where the text tells of no function where it is. */
  static parse(text: string): SymbolMap {
    const found: { address: number; name: string }[] = [];
    for (const line of text.split('\n')) {
      const [, digits, type, name] = LINE.exec(line) ?? [];
      if (digits === undefined || !CODE.test(type!)) continue;
      found.push({ address: Number(BigInt.asIntN(64, BigInt(`0x${digits}`))), name: name! });
    }
    if (found.length === 0)
      throw new Error('no functions in it; expected lines like "ffffffff81000000 T _text"');
    if (found.every((s) => s.address === 0)) throw new Error('all addresses in it are 0');
    const map = new SymbolMap();
    for (const s of found.sort((a, b) => a.address - b.address)) {
      map.addresses.push(s.address);
      map.names.push(s.name);
    }
    return map;
  }

  /** The function that the address is in, if it is in one. */
  find(address: number): string | undefined {
    const { addresses } = this;
    let [low, high] = [0, addresses.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (addresses[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low === 0 || address - addresses[low - 1]! >= REACH ? undefined : this.names[low - 1];
  }
}
