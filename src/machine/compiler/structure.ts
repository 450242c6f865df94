/**
 * Structured control flow from a reducible graph: loops become `loop`, nodes that several edges meet at become the ends
 * of `block`s, everything else is nested where it is reached. @spec Ramsey, "Beyond Relooper", ICFP 2022
 */
import type { Code } from '../../wasm/code.ts';
import { OP } from '../../wasm/opcodes.ts';
import { type Edge, type FlowGraph, Order } from './graph.ts';

/** What fills the structure: the code of the blocks. */
export interface Filling<Known = unknown> {
  readonly code: Code;
  open(label: number, opcode: number): void;
  end(): void;
  br(label: number): void;
  /** The number that the root goes by is on the stack. */
  entryNumber(): void;
  /** The region is entered by its entry number `k`. */
  atEntry(k: number): void;
  /** Code before a branch that goes back to a loop's header, or on to where several edges meet (a header is such). */
  beforeBack(from: number, edge: Edge): void;
  beforeMerge(edge: Edge): void;
  setSelect(n: number): void;
  getSelect(): void;
  /** A node that several edges meet at, or a loop's header, begins here. */
  atMerge(n: number): void;
  /** Code of a block; its branches call `follow` with their edge. */
  block(n: number, follow: (edge: Edge) => void): void;
  /** What is known where one of several ways out begins. */
  save(): Known;
  restore(known: Known): void;
}

export class Structure<Known> {
  private readonly graph: FlowGraph;
  readonly order: Order;
  private readonly fill: Filling<Known>;

  constructor(graph: FlowGraph, fill: Filling<Known>) {
    this.graph = graph;
    this.order = new Order(graph);
    this.fill = fill;
  }

  emit(): void {
    this.tree(this.graph.root);
  }

  private tree(n: number): void {
    const { fill } = this;
    const loop = this.order.loops.has(n);
    if (loop) fill.open(loopLabel(n), OP.loop);
    this.within(n, this.order.mergeChildren[n] as number[], 0);
    if (loop) fill.end();
  }

  private within(n: number, merges: readonly number[], at: number): void {
    const { fill } = this;
    if (at === merges.length) return this.node(n);
    const next = merges[at] as number;
    fill.open(mergeLabel(next), OP.block);
    this.within(n, merges, at + 1);
    fill.end();
    fill.atMerge(next);
    this.tree(next);
  }

  private node(n: number): void {
    const { fill, graph } = this;
    if (this.order.loops.has(n)) fill.atMerge(n);
    if (n !== graph.root && !graph.isDispatcher(n)) return fill.block(n, (edge) => this.follow(n, edge));
    const edges = graph.edges[n] as Edge[];
    if (edges.length === 1) {
      if (n === graph.root) fill.atEntry(0);
      return this.follow(n, edges[0] as Edge);
    }
    for (const _ of edges) fill.open(ARM, OP.block);
    if (n === graph.root) fill.entryNumber();
    else fill.getSelect();
    this.table(edges.length);
    const known = fill.save();
    edges.forEach((edge, k) => {
      fill.end();
      fill.restore(known);
      if (n === graph.root) fill.atEntry(k);
      this.follow(n, edge);
    });
  }
  private table(count: number): void {
    const { code } = this.fill;
    code.op(OP.br_table);
    code.u(count - 1);
    for (let k = 0; k < count; k++) code.u(k);
  }

  private follow(from: number, edge: Edge): void {
    const { fill, order } = this;
    if (edge.select >= 0) fill.setSelect(edge.select);
    if (order.back(from, edge.to)) {
      fill.beforeBack(from, edge);
      fill.br(loopLabel(edge.to));
      return;
    }
    const merge = order.merges.has(edge.to);
    if (merge || order.loops.has(edge.to)) fill.beforeMerge(edge);
    if (merge) fill.br(mergeLabel(edge.to));
    else this.tree(edge.to);
  }
}

/** The label of an arm of a table, which nothing branches to by name. */
const ARM = -1;
const loopLabel = (n: number): number => 2 * n;
const mergeLabel = (n: number): number => 2 * n + 1;
