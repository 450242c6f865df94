import { beforeEach, describe, expect, it } from 'vitest';
import { xencons_interface as ring } from '../../abi/io_console.ts';
import { Mem } from '../../base/mem.ts';
import { fromLatin1, latin1 } from '../../base/text.ts';
import { KernelError, Mapping } from '../../kernel/index.ts';
import { ConsoleDaemon } from './index.ts';

let mem: Mem;
let notified: number;
let masked: boolean;
let closedPorts: number;
let mappings: string[];
let tasks: (() => void)[];
let lines: string[];
let daemon: ConsoleDaemon;
let onEvent: () => void;
let granted: boolean;

beforeEach(() => {
  mem = Mem.alloc(4096);
  [notified, masked, closedPorts, granted] = [0, false, 0, true];
  [mappings, tasks, lines] = [[], [], []];
  const page = (how: string) => {
    mappings.push(how);
    return new Mapping(mem, 0, [0], () => mappings.push('closed'));
  };
  const kernel = {
    memory: {
      mapGrants: (_d: number, refs: readonly number[]) => {
        if (!granted) throw new KernelError('map', 'GNTST_general_error');
        return page(`grant ${refs[0]}`);
      },
      mapForeign: (_d: number, gfns: readonly number[]) => page(`gfn ${gfns[0]}`),
    },
    events: {
      bindInterdomain: (_d: number, port: number, handler: (port: number) => void) => {
        onEvent = () => void (masked || handler(port));
        return port;
      },
      notify: () => void notified++,
      mask: () => void (masked = true),
      unmask: () => void (masked = false),
      close: () => void closedPorts++,
    },
  };
  const timers = { after: (_ms: number, run: () => void) => ({ cancel: () => {}, n: tasks.push(run) }) };
  daemon = new ConsoleDaemon(kernel, timers, (_l, _p, line) => void lines.push(line));
});

class Sink {
  text = '';
  full = false;
  ended = false;
  write(bytes: Uint8Array): boolean {
    this.text += latin1(bytes);
    return !this.full;
  }
  closed(): void {
    this.ended = true;
  }
}

/** The guest prints as much as fits. */
function print(text: string): string {
  const prod = ring.out_prod.get(mem, 0);
  const room = 2048 - (prod - ring.out_cons.get(mem, 0));
  const now = fromLatin1(text.slice(0, room));
  now.forEach((b, i) => {
    mem.setU8(ring.out.addr(0) + ((prod + i) & 2047), b);
  });
  ring.out_prod.set(mem, 0, prod + now.length);
  return text.slice(room);
}

function typed(): string {
  let text = '';
  for (let i = ring.in_cons.get(mem, 0); i !== ring.in_prod.get(mem, 0); i++) {
    text += String.fromCharCode(mem.u8(ring.in.addr(0) + (i & 1023)));
  }
  ring.in_cons.set(mem, 0, ring.in_prod.get(mem, 0));
  return text;
}

const runTasks = () => {
  for (const run of tasks.splice(0)) run();
};

describe('the console daemon', () => {
  it('maps the reserved grant, or the frame where there is none', () => {
    daemon.introduce(1, 77, 5, new Sink());
    granted = false;
    daemon.introduce(2, 77, 5, new Sink());
    expect(mappings).toEqual(['grant 0', 'gfn 77']);
    expect(() => daemon.introduce(1, 77, 5, new Sink())).toThrow('already');
  });

  it('delivers what is left after the domain died, then ends', () => {
    const sink = new Sink();
    daemon.introduce(1, 77, 5, sink);
    print('panic');
    daemon.release(1);
    expect([sink.text, sink.ended, closedPorts, mappings.at(-1)]).toEqual(['panic', true, 1, 'closed']);
    expect(daemon.get(1)).toBeUndefined();
  });

  it('waits with the end until a full sink has taken everything', () => {
    const sink = new Sink();
    const console = daemon.introduce(1, 77, 5, sink);
    sink.full = true;
    print('one');
    onEvent();
    print('two');
    daemon.release(1);
    expect([sink.text, sink.ended]).toEqual(['one', false]);
    sink.full = false;
    console.drained();
    expect([sink.text, sink.ended]).toEqual(['onetwo', true]);
  });
});

describe('output', () => {
  it('comes in order across the end of the ring', () => {
    const sink = new Sink();
    daemon.introduce(1, 77, 5, sink);
    let all = '';
    for (let i = 0; i < 50; i++) {
      const line = `line ${i} ${'x'.repeat(i * 3)}\n`;
      print(line);
      all += line;
      onEvent();
    }
    expect(sink.text).toBe(all);
    expect(notified).toBeGreaterThan(0);
  });

  it('stays in the ring while the sink is full, and its events masked', () => {
    const sink = new Sink();
    const console = daemon.introduce(1, 77, 5, sink);
    sink.full = true;
    print('a');
    onEvent();
    print('b');
    onEvent();
    expect([sink.text, masked]).toEqual(['a', true]);
    sink.full = false;
    console.drained();
    expect([sink.text, masked]).toEqual(['ab', false]);
  });

  it('of a flooding guest is bounded in each turn', () => {
    const sink = new Sink();
    daemon.introduce(1, 77, 5, sink);
    sink.write = (bytes) => {
      sink.text += latin1(bytes);
      print('y'.repeat(2048)); // the guest is faster than we are
      return true;
    };
    print('y'.repeat(2048));
    onEvent();
    expect(sink.text.length).toBe(16384);
    runTasks();
    expect(sink.text.length).toBe(32768);
    expect(tasks).toHaveLength(1);
  });

  it('with impossible indices is dropped, with one line in the log', () => {
    const sink = new Sink();
    daemon.introduce(1, 77, 5, sink);
    ring.out_prod.set(mem, 0, 5000);
    onEvent();
    ring.out_prod.set(mem, 0, 1);
    onEvent();
    expect(sink.text).toBe('');
    expect(lines).toEqual(['domain 1 has impossible indices in its console output ring: contents dropped']);
    print('fine');
    onEvent();
    expect(sink.text).toBe('fine');
  });
});

describe('input', () => {
  it('waits for room in the ring', () => {
    const console = daemon.introduce(1, 77, 5, new Sink());
    const text = 'k'.repeat(1500);
    expect(console.write(fromLatin1(text))).toBe(1500);
    let got = typed();
    expect(got.length).toBe(1024);
    onEvent();
    got += typed();
    expect(got).toBe(text);
  });

  it('that nobody reads is refused in the end', () => {
    const console = daemon.introduce(1, 77, 5, new Sink());
    expect(console.write(new Uint8Array(100000))).toBe(65536);
    expect(console.write(new Uint8Array(100000))).toBe(1024);
    expect(console.write(new Uint8Array(1))).toBe(0);
  });

  it('is dropped when the indices make no sense', () => {
    const console = daemon.introduce(1, 77, 5, new Sink());
    ring.in_cons.set(mem, 0, 9999);
    console.write(fromLatin1('abc'));
    expect(lines[0]).toContain('input ring');
    ring.in_cons.set(mem, 0, ring.in_prod.get(mem, 0));
    console.write(fromLatin1('def'));
    expect(typed()).toBe('def');
  });
});
