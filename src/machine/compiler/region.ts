/** One region as a function: `(cpu, entry number, budget) -> LEAVE`. */
import type { Mem } from '../../base/mem.ts';
import type { ValType } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import { condition } from '../../x86/flags.ts';
import type { CodeSize } from '../../x86/insn.ts';
import { LOCAL } from '../emit/access.ts';
import { HANDLERS, type Handler, SPECIAL } from '../interp/handlers.ts';
import { LEAVE, REC } from '../interp/record.ts';
import { flagsWanted } from './flags-wanted.ts';
import { type Block, type Flow, type PageTables, type Way, waysOf } from './flow.ts';
import { type Edge, FlowGraph } from './graph.ts';
import { FIXED, type Known, RegionEmitter } from './region-emitter.ts';
import { RegionJumps } from './region-jumps.ts';
import { RegionRecords } from './region-records.ts';
import { type KnownRegisters, NOTHING } from './region-registers.ts';
import { SmallLoops } from './small-loops.ts';
import { type Filling, Structure } from './structure.ts';

export interface RegionCode {
  locals: ValType[];
  body: Uint8Array;
  /** It calls routines, as functions of their indices. */
  calls: boolean;
}

/** What a region is of: its number is in its entries' records, and nobody else's. */
interface Made {
  readonly id: number;
  readonly codeSize: CodeSize;
}

class RegionFilling implements Filling<Known> {
  readonly e: RegionEmitter;
  private readonly flow: Flow;
  private readonly jumps: RegionJumps;
  private readonly graph: FlowGraph;
  private readonly mem: Mem;
  private readonly records: RegionRecords;
  private loops: SmallLoops | undefined;
  /** Nodes that want the flags as they were before. */
  private readonly wanted: ReadonlySet<number>;
  /** The node behind jumps to what may be an entry of the region. */
  private readonly indirect: number;

  constructor(mem: Mem, flow: Flow, tables: PageTables, { id, codeSize }: Made) {
    this.e = new RegionEmitter(mem, codeSize);
    this.mem = mem;
    this.flow = flow;
    this.records = new RegionRecords(mem, this.e);
    this.jumps = new RegionJumps(this.e, tables, id);
    const edge = (to: number): Edge => ({ to, select: -1 });
    this.indirect = flow.blocks.length;
    const root = this.indirect + 1;
    const edges = flow.blocks.map((b) =>
      b.ending.kind === 'indirect'
        ? [edge(root), edge(this.indirect)]
        : waysOf(b.ending)
            .filter((w) => w.block >= 0)
            .map((w) => edge(w.block)),
    );
    edges.push([edge(root)], flow.entries.map(edge));
    this.graph = new FlowGraph(edges, root);
    this.wanted = flagsWanted(mem, flow, this.graph);
  }

  get code() {
    return this.e.code;
  }

  emit(): RegionCode {
    const { e } = this;
    e.open('leave');
    const structure = new Structure(this.graph, this);
    this.loops = new SmallLoops(this.mem, this.flow, this.graph, structure.order);
    structure.emit();
    e.code.op(OP.unreachable);
    e.end();
    e.epilogue();
    // what must be loaded first is known only now
    const body = e.code.done();
    e.code.length = 0;
    e.prologue();
    e.code.append(body);
    return { locals: [...FIXED, ...e.locals.types], body: e.code.done(), calls: e.calls };
  }

  // --- Filling -----------------------------------------------------------------------------------------------------

  open(label: number, opcode: number): void {
    this.e.open(label, opcode);
  }
  end(): void {
    this.e.end();
  }
  br(label: number): void {
    this.e.br(label);
  }
  entryNumber(): void {
    this.code.get(LOCAL.rp);
  }
  /** ripBase is that of the entry's page. */
  atEntry(k: number): void {
    const { page } = this.flow.blocks[this.flow.entries[k] as number] as Block;
    if (page === 0) return;
    this.code.get(this.e.locals.base);
    this.code.i64(-page * 4096);
    this.code.op(OP.i64_add);
    this.code.set(this.e.locals.base);
  }
  setSelect(n: number): void {
    this.code.i32(n);
    this.code.set(this.e.locals.select);
  }
  getSelect(): void {
    this.code.get(this.e.locals.select);
  }
  /** Where ways meet, each has settled the flags, or described them. */
  atMerge(n: number): void {
    this.e.merged(this.wanted.has(n), this.carried(n));
  }
  beforeMerge({ to }: Edge): void {
    if (this.wanted.has(to)) this.e.settle();
    else this.e.describe();
    this.e.carry(this.carried(to));
  }
  /** What is in locals where ways meet: registers of a small loop. */
  private carried(n: number): KnownRegisters {
    return this.loops?.at(n) ?? NOTHING;
  }
  save(): Known {
    return this.e.save();
  }
  restore(known: Known): void {
    this.e.restore(known);
  }

  /** The budget is looked at where a loop goes round; for the loop around all it has been. */
  beforeBack(_from: number, edge: Edge): void {
    const { e } = this;
    this.beforeMerge(edge);
    if (edge.to === this.graph.root) return;
    const to = this.graph.isDispatcher(edge.to)
      ? (this.graph.edges[edge.to]?.[edge.select]?.to as number)
      : edge.to;
    const b = this.flow.blocks[to] as Block;
    e.spend(LOCAL.fuel);
    e.open('inner', OP.if);
    e.leaveAt(LEAVE.fuel, b.first, b.page, 0);
    e.end();
  }

  block(n: number, follow: (edge: Edge) => void): void {
    if (n === this.indirect) return this.jumps.onAnyPage(() => follow(this.graph.edges[n]![0] as Edge));
    const { e, mem } = this;
    const b = this.flow.blocks[n] as Block;
    const edges = (this.graph.edges[n] as Edge[]).values();
    const way = (w: Way): void => this.jumps.way(w, () => follow(edges.next().value as Edge));
    const { ending } = b;
    let done = -1;
    let off = -1;
    for (const r of b.records) {
      if (mem.u16(r + REC.off) !== off) done++;
      off = mem.u16(r + REC.off);
      const last = r === b.records[b.records.length - 1];
      if (last && (ending.kind === 'call' || ending.kind === 'return')) e.goesOnAt = ending.to;
      if (last && ending.kind === 'indirect') e.goesOnAt = 'anywhere';
      this.records.emit(r, b.page, done);
      e.goesOnAt = undefined;
    }
    if (ending.kind === 'out') return;
    if (b.count !== 0) e.count(b.count);
    if (ending.kind === 'indirect') {
      this.jumps.onThisPage(b.page, () => follow(edges.next().value as Edge));
      return follow(edges.next().value as Edge);
    }
    if (ending.kind !== 'if') return way(ending.to);
    const h = handlerAt(mem, ending.record) as Handler;
    e.begin(ending.record, b.page, b.count, h.places, h.z);
    condition(e, h.s);
    const known = e.save();
    e.open('inner', OP.if);
    way(ending.taken);
    e.restore(known);
    e.code.op(OP.else);
    way(ending.next);
    e.end();
    e.code.op(OP.unreachable);
  }
}

const handlerAt = (mem: Mem, record: number): Handler | undefined =>
  HANDLERS[mem.u16(record + REC.handler) - SPECIAL.length];

/** The code of a region. */
export function compileRegion(mem: Mem, flow: Flow, tables: PageTables, made: Made): RegionCode {
  return new RegionFilling(mem, flow, tables, made).emit();
}
