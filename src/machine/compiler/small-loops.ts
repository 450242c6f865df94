/**
 * Small loops of a region, and what registers they use: those are in locals all around such a loop, from wherever it is
 * entered. Elsewhere a register is read from the vCPU's state again where ways have met: in code that branches a lot
 * that is less than what V8 makes of registers that are alive everywhere.
 */
import type { Mem } from '../../base/mem.ts';
import { cpuState } from '../cpu-state.ts';
import type { Block, Flow } from './flow.ts';
import type { FlowGraph, Order } from './graph.ts';
import { RegionEmitter } from './region-emitter.ts';
import { DESCRIPTION } from './region-flags.ts';
import { GPRS_END } from './region-operands.ts';
import { RegionRecords } from './region-records.ts';
import type { KnownRegisters } from './region-registers.ts';

/** Records of a small loop at most. */
const SMALL = 64;

export class SmallLoops {
  /** By node: registers in locals where it begins, if several ways meet there. */
  private readonly registers = new Map<number, KnownRegisters>();

  constructor(mem: Mem, flow: Flow, graph: FlowGraph, order: Order) {
    const loops = [...order.loops]
      .filter((header) => header !== graph.root)
      .map((header) => body(graph, order, header))
      .map((nodes) => ({ nodes, blocks: nodes.flatMap((n) => flow.blocks[n] ?? []) }))
      .filter(({ blocks }) => blocks.reduce((sum, b) => sum + b.records.length, 0) <= SMALL);
    // an inner loop's nodes go by that
    loops.sort((a, b) => b.nodes.length - a.nodes.length);
    for (const { nodes, blocks } of loops) {
      const used = registersOf(mem, blocks);
      for (const at of DESCRIPTION) {
        used.valid.add(at);
        used.dirty.add(at);
      }
      for (const n of nodes) this.registers.set(n, used);
    }
  }

  at(n: number): KnownRegisters | undefined {
    return this.registers.get(n);
  }
}

/** The nodes of the loop with a header. */
function body(graph: FlowGraph, order: Order, header: number): number[] {
  const before: number[][] = graph.edges.map(() => []);
  graph.edges.forEach((out, n) => {
    if (order.position[n] !== -1) for (const { to } of out) (before[to] as number[]).push(n);
  });
  const nodes = new Set([header]);
  const add = (from: readonly number[]): void => {
    for (const n of from) {
      if (nodes.has(n)) continue;
      nodes.add(n);
      add(before[n] as number[]);
    }
  };
  add((before[header] as number[]).filter((n) => order.back(n, header)));
  return [...nodes];
}

/** Those that are used; those that are written may not be in the vCPU's state where ways meet. */
function registersOf(mem: Mem, blocks: readonly Block[]): { valid: Set<number>; dirty: Set<number> } {
  const e = new RegionEmitter(mem);
  e.open('leave');
  const records = new RegionRecords(mem, e);
  for (const b of blocks) for (const r of b.records) records.emit(r, b.page, 0);
  const { valid, dirty } = e.registers;
  return { valid: new Set([...valid].filter(isKept)), dirty: new Set([...dirty].filter(isKept)) };
}
const isKept = (at: number): boolean =>
  at < GPRS_END || (at >= cpuState.xmm.offset && at < cpuState.xtmp.offset);
