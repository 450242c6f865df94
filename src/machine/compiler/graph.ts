/**
 * Control flow of a region as a graph, made reducible: WebAssembly knows only nested blocks and loops with one entry.
 *
 * A loop that is entered in several places gets a dispatcher, a node of its own that all edges into those places go
 * through with a number that says where they meant to go. Everything else needs no code.
 */
export interface Edge {
  to: number;
  /** What a dispatcher at `to` goes by; -1 where `to` is no dispatcher. */
  select: number;
}

export class FlowGraph {
  /** Outgoing edges by node: blocks first, then dispatchers. */
  readonly edges: Edge[][];
  readonly root: number;
  private readonly blocks: number;

  /** `root` is the node that leads to the entries. */
  constructor(edges: Edge[][], root: number) {
    this.edges = edges;
    this.root = root;
    this.blocks = edges.length;
    this.makeReducible(reachable(edges, root));
  }

  isDispatcher(n: number): boolean {
    return n >= this.blocks;
  }

  /** Every loop among the nodes gets one entry, then the loops inside it. */
  private makeReducible(nodes: readonly number[]): void {
    for (const loop of cycles(this.edges, nodes)) {
      const inside = new Set(loop);
      const entries = inside.has(this.root) ? [this.root] : this.entriesOf(inside);
      const single = entries.length === 1 ? entries[0] : undefined;
      if (single === undefined) this.dispatch(entries);
      this.makeReducible(loop.filter((n) => n !== single));
    }
  }
  private entriesOf(inside: ReadonlySet<number>): number[] {
    const entries = new Set<number>();
    this.edges.forEach((out, from) => {
      if (!inside.has(from)) for (const e of out) if (inside.has(e.to)) entries.add(e.to);
    });
    return [...entries];
  }
  private dispatch(entries: readonly number[]): void {
    const at = this.edges.length;
    for (const out of this.edges)
      for (const e of out) {
        const select = entries.indexOf(e.to);
        if (select < 0) continue;
        e.to = at;
        e.select = select;
      }
    this.edges.push(entries.map((to) => ({ to, select: -1 })));
  }
}

function reachable(edges: readonly Edge[][], root: number): number[] {
  const seen = new Set([root]);
  for (const n of seen) for (const e of edges[n] as Edge[]) seen.add(e.to);
  return [...seen];
}

/** Strongly connected components of the subgraph that have a cycle (Tarjan). */
function cycles(edges: readonly Edge[][], nodes: readonly number[]): number[][] {
  const within = new Set(nodes);
  const index = new Map<number, number>();
  const low = new Map<number, number>();
  const stack: number[] = [];
  const onStack = new Set<number>();
  const found: number[][] = [];
  const visit = (n: number): void => {
    index.set(n, index.size);
    low.set(n, index.get(n) as number);
    stack.push(n);
    onStack.add(n);
    for (const { to } of edges[n] as Edge[]) {
      if (!within.has(to)) continue;
      if (!index.has(to)) visit(to);
      if (onStack.has(to)) low.set(n, Math.min(low.get(n) as number, low.get(to) as number));
    }
    if (low.get(n) !== index.get(n)) return;
    const part: number[] = [];
    for (;;) {
      const m = stack.pop() as number;
      onStack.delete(m);
      part.push(m);
      if (m === n) break;
    }
    if (part.length > 1 || (edges[n] as Edge[]).some((e) => e.to === n)) found.push(part);
  };
  for (const n of nodes) if (!index.has(n)) visit(n);
  return found;
}

/** Reverse postorder and the dominator tree of a reducible graph. */
export class Order {
  /** Position in reverse postorder; -1 if unreachable. */
  readonly position: number[];
  /** Nodes with several forward predecessors, and targets of back edges. */
  readonly merges = new Set<number>();
  readonly loops = new Set<number>();
  /** Children in the dominator tree that are merges, the last in reverse postorder first. */
  readonly mergeChildren: number[][];
  private readonly sequence: number[] = [];
  private readonly dominator: number[];

  constructor(graph: FlowGraph) {
    const count = graph.edges.length;
    this.position = Array<number>(count).fill(-1);
    this.dominator = Array<number>(count).fill(-1);
    this.mergeChildren = Array.from({ length: count }, () => []);
    this.number(graph);
    const predecessors = this.classify(graph);
    this.findDominators(graph.root, predecessors);
    for (const n of this.sequence)
      if (this.merges.has(n)) this.mergeChildren[this.dominator[n] as number]!.unshift(n);
  }

  /** Whether an edge goes back to a loop's header. */
  back(from: number, to: number): boolean {
    return (this.position[to] as number) <= (this.position[from] as number);
  }

  private number(graph: FlowGraph): void {
    const seen = new Set<number>();
    const visit = (n: number): void => {
      seen.add(n);
      // the last edge first: what falls through comes next in the order
      for (const e of graph.edges[n] as Edge[]) if (!seen.has(e.to)) visit(e.to);
      this.sequence.unshift(n);
    };
    visit(graph.root);
    this.sequence.forEach((n, at) => {
      this.position[n] = at;
    });
  }

  private classify(graph: FlowGraph): number[][] {
    const forward: number[][] = graph.edges.map(() => []);
    for (const n of this.sequence)
      for (const { to } of graph.edges[n] as Edge[]) {
        if (this.back(n, to)) this.loops.add(to);
        else (forward[to] as number[]).push(n);
      }
    forward.forEach((from, n) => {
      if (from.length > 1) this.merges.add(n);
    });
    return forward;
  }

  /** In a reducible graph forward edges alone give the dominators, in one pass. */
  private findDominators(root: number, predecessors: readonly number[][]): void {
    this.dominator[root] = root;
    for (const n of this.sequence) {
      if (n === root) continue;
      this.dominator[n] = (predecessors[n] as number[]).reduce((a, b) => this.common(a, b));
    }
  }
  private common(a: number, b: number): number {
    while (a !== b) {
      if ((this.position[a] as number) > (this.position[b] as number)) a = this.dominator[a] as number;
      else b = this.dominator[b] as number;
    }
    return a;
  }
}
