/** A WebAssembly module under construction: typed indices, sections written in order. @spec WebAssembly core 5.5 */
import { Code } from './code.ts';
import { OP } from './opcodes.ts';

export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export const V128 = 0x7b;
const FUNCREF = 0x70;
export type ValType = typeof I32 | typeof I64 | typeof F32 | typeof F64 | typeof V128;

interface Func {
  type: number;
  locals: ValType[];
  code: Code;
  exported: string | undefined;
}

export class Module {
  private readonly types: { key: string; params: ValType[]; results: ValType[] }[] = [];
  private readonly funcImports: { module: string; name: string; type: number }[] = [];
  private readonly funcs: Func[] = [];
  private memory: { min: number; max: number } | undefined;
  private table: { size: number; exported: string } | undefined;

  private type(params: ValType[], results: ValType[]): number {
    const key = `${params}>${results}`;
    const found = this.types.findIndex((t) => t.key === key);
    return found >= 0 ? found : this.types.push({ key, params, results }) - 1;
  }

  /** Imports env.memory, shared; sizes in 64 KiB pages. */
  importSharedMemory(min: number, max: number): void {
    this.memory = { min, max };
  }

  /** Index of a function type, for `call_indirect`. */
  functionType(params: ValType[], results: ValType[]): number {
    return this.type(params, results);
  }

  /** Defines table 0, of functions, empty. */
  functionTable(size: number, exported: string): void {
    this.table = { size, exported };
  }

  /** All function imports must come before the first `func`. */
  importFunc(module: string, name: string, params: ValType[], results: ValType[]): number {
    return this.funcImports.push({ module, name, type: this.type(params, results) }) - 1;
  }

  /** Adds a function; the caller fills `code` (without locals or the final end) before `bytes`. Answers its index. */
  func(params: ValType[], results: ValType[], locals: ValType[], code: Code, exported?: string): number {
    const at = this.funcs.push({ type: this.type(params, results), locals, code, exported }) - 1;
    return at + this.funcImports.length;
  }

  bytes(): Uint8Array {
    const out = new Code();
    out.append(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    section(out, 1, this.types, (c, t) => {
      c.byte(0x60);
      types(c, t.params);
      types(c, t.results);
    });
    this.imports(out);
    section(out, 3, this.funcs, (c, f) => c.u(f.type));
    const { table } = this;
    section(out, 4, table ? [table] : [], (c, t) => {
      c.byte(FUNCREF);
      c.byte(0);
      c.u(t.size);
    });
    const exported = this.funcs
      .map((f, i) => ({ name: f.exported, kind: 0, index: i + this.funcImports.length }))
      .concat(table ? [{ name: table.exported, kind: 1, index: 0 }] : [])
      .filter((e) => e.name !== undefined);
    section(out, 7, exported, (c, e) => {
      name(c, e.name as string);
      c.byte(e.kind);
      c.u(e.index);
    });
    section(out, 10, this.funcs, body);
    return out.done();
  }

  private imports(out: Code): void {
    const list: ((c: Code) => void)[] = this.funcImports.map((f) => (c: Code) => {
      name(c, f.module);
      name(c, f.name);
      c.byte(0);
      c.u(f.type);
    });
    const { memory } = this;
    if (memory)
      list.push((c) => {
        name(c, 'env');
        name(c, 'memory');
        c.byte(2);
        c.byte(3);
        c.u(memory.min);
        c.u(memory.max);
      });
    section(out, 2, list, (c, f) => f(c));
  }
}

function section<T>(out: Code, id: number, items: readonly T[], write: (c: Code, item: T) => void): void {
  if (items.length === 0) return;
  const c = new Code();
  c.u(items.length);
  for (const item of items) write(c, item);
  out.byte(id);
  out.u(c.length);
  out.append(c.done());
}

function types(c: Code, list: readonly ValType[]): void {
  c.u(list.length);
  for (const t of list) c.byte(t);
}

function name(c: Code, s: string): void {
  c.u(s.length);
  for (let i = 0; i < s.length; i++) c.byte(s.charCodeAt(i));
}

function body(out: Code, f: Func): void {
  const c = new Code();
  const runs: { type: ValType; count: number }[] = [];
  for (const type of f.locals) {
    const last = runs[runs.length - 1];
    if (last?.type === type) last.count++;
    else runs.push({ type, count: 1 });
  }
  c.u(runs.length);
  for (const r of runs) {
    c.u(r.count);
    c.byte(r.type);
  }
  c.append(f.code.done());
  c.byte(OP.end);
  out.u(c.length);
  out.append(c.done());
}
