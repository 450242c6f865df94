import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Code } from '../../wasm/code.ts';
import { I32, Module } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import { instantiate, sharedMemory } from '../wasm-api.ts';
import { type Edge, FlowGraph } from './graph.ts';
import { type Filling, Structure } from './structure.ts';

/** Blocks by number: none, one or two ways on, or to any of the entries (ANY). Entries are blocks. */
interface Program {
  ways: number[][];
  entries: number[];
}

const ANY = -1;
const STEPS = 60;
/** Where the lists are: which of two ways a block takes, which of the entries. */
const PICKS = 256;
const LOG = 1024;
const SELECT = 1;
const AT = 2;
const LOCALS = [I32, I32] as const;

/** Each block writes its number down and goes by the next byte of a list; after STEPS blocks all is over. */
class Tracing implements Filling<undefined> {
  readonly code = new Code();
  private readonly graph: FlowGraph;
  private readonly labels: number[] = [];

  constructor(graph: FlowGraph) {
    this.graph = graph;
  }
  open(label: number, opcode: number): void {
    this.code.open(opcode);
    this.labels.push(label);
  }
  end(): void {
    this.code.end();
    this.labels.pop();
  }
  br(label: number): void {
    this.code.br(this.labels.length - 1 - this.labels.lastIndexOf(label));
  }
  entryNumber(): void {
    this.code.get(0);
  }
  setSelect(n: number): void {
    this.code.i32(n);
    this.code.set(SELECT);
  }
  getSelect(): void {
    this.code.get(SELECT);
  }
  atEntry(): void {}
  atMerge(): void {}
  beforeMerge(): void {}
  beforeBack(): void {}
  save(): undefined {
    return undefined;
  }
  restore(): void {}
  block(n: number, follow: (edge: Edge) => void): void {
    const { code } = this;
    const edges = this.graph.edges[n] as Edge[];
    code.get(AT);
    code.i32(n + 1);
    code.mem(OP.i32_store8, 0, LOG);
    code.get(AT);
    code.i32(1);
    code.op(OP.i32_add);
    code.tee(AT);
    code.i32(STEPS);
    code.op(OP.i32_eq);
    code.open(OP.if);
    code.op(OP.return);
    code.end();
    if (edges.length === 0) return code.op(OP.return);
    if (edges.length === 1) return this.on(edges[0] as Edge, follow);
    code.get(AT);
    code.mem(OP.i32_load8_u, 0, 0);
    this.open(-2, OP.if);
    this.on(edges[1] as Edge, follow);
    code.op(OP.else);
    this.on(edges[0] as Edge, follow);
    this.end();
    code.op(OP.unreachable);
  }
  private on(edge: Edge, follow: (edge: Edge) => void): void {
    if (edge.to === this.graph.root) {
      this.code.get(AT);
      this.code.mem(OP.i32_load8_u, 0, PICKS);
      this.code.set(0);
    }
    follow(edge);
  }
}

function build({ ways, entries }: Program): (entry: number) => void {
  const root = ways.length;
  const edge = (to: number): Edge => ({ to: to === ANY ? root : to, select: -1 });
  const graph = new FlowGraph(
    [...ways, entries].map((out) => out.map(edge)),
    root,
  );
  const filling = new Tracing(graph);
  new Structure(graph, filling).emit();
  filling.code.op(OP.unreachable);
  const m = new Module();
  m.importSharedMemory(1, 16);
  m.func([I32], [], [...LOCALS], filling.code, 'go');
  return instantiate(m.bytes(), memory).go as (entry: number) => void;
}
const memory = sharedMemory(1 << 20);
const bytes = new Uint8Array(memory.buffer);

/** The blocks that a program comes through. */
function walk(
  { ways, entries }: Program,
  entry: number,
  choices: readonly number[],
  picks: readonly number[],
): number[] {
  const path: number[] = [];
  for (let at = entries[entry] as number; ; ) {
    path.push(at);
    const out = ways[at] as number[];
    if (path.length === STEPS || out.length === 0) return path;
    at = out[out.length > 1 ? (choices[path.length] as number) : 0] as number;
    if (at === ANY) at = entries[picks[path.length] as number] as number;
  }
}

const programs = fc.integer({ min: 1, max: 12 }).chain((blocks) => {
  const block = fc.nat({ max: blocks - 1 });
  const way = fc.oneof({ weight: 5, arbitrary: block }, { weight: 1, arbitrary: fc.constant(ANY) });
  return fc.record({
    ways: fc.array(fc.array(way, { maxLength: 2 }), { minLength: blocks, maxLength: blocks }),
    entries: fc.uniqueArray(block, { minLength: 1, maxLength: Math.min(blocks, 4) }),
  });
});

describe('structured control flow', () => {
  it('goes where the graph goes, whatever loops there are and wherever they are entered', () => {
    const list = (max: number) => fc.array(fc.nat({ max }), { minLength: STEPS + 1, maxLength: STEPS + 1 });
    fc.assert(
      fc.property(programs, list(1), list(11), (program, choices, any) => {
        const go = build(program);
        const picks = any.map((n) => n % program.entries.length);
        program.entries.forEach((_, entry) => {
          bytes.fill(0);
          bytes.set(choices);
          bytes.set(picks, PICKS);
          go(entry);
          const path = [...bytes.subarray(LOG, LOG + STEPS)].filter((b) => b !== 0).map((b) => b - 1);
          expect(path).toEqual(walk(program, entry, choices, picks));
        });
      }),
      { numRuns: 400 },
    );
  });

  it('has no dispatcher where every loop has one entry', () => {
    const edge = (to: number): Edge => ({ to, select: -1 });
    const nested = [[1], [2], [2, 3], [1, 4], [], [0]].map((out) => out.map(edge));
    expect(new FlowGraph(nested, 5).edges).toHaveLength(6);
    const twoEntries = [[1, 2], [2], [1], [0]].map((out) => out.map(edge));
    expect(new FlowGraph(twoEntries, 3).edges).toHaveLength(5);
  });
});
