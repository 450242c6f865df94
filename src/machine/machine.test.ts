import { describe, expect, it } from 'vitest';
import { frameInfo, Machine, OWNER_NONE } from './machine.ts';
import { sharedMemory } from './wasm-api.ts';

const MIB = 1 << 20;

function makeMachine(): Machine {
  return Machine.create(sharedMemory(8 * MIB), 8 * MIB);
}

describe('a run of frames', () => {
  it('is contiguous, and each frame of it has its owner and one reference', () => {
    const m = makeMachine();
    const first = m.allocFrames(77, 3);
    const infos = Array.from({ length: 77 }, (_, i) => m.frame(first + i));
    expect(
      infos.every((i) => frameInfo.owner.get(m.mem, i) === 3 && frameInfo.count.get(m.mem, i) === 1),
    ).toBe(true);
    expect(m.allocFrame()).toBe(first + 77);
  });

  it('is found between others, and not where it is too short', () => {
    const m = makeMachine();
    const first = m.allocFrames(100);
    const behind = m.allocFrame();
    m.freeFrameRun(first + 3, 90);
    expect(m.allocFrames(90)).toBe(first + 3);
    m.freeFrameRun(first + 3, 90);
    expect(m.allocFrames(91)).toBe(behind + 1);
  });

  it('is zero though some of its frames were used before', () => {
    const m = makeMachine();
    const first = m.allocFrames(2);
    m.mem.fill(first * 4096, 2 * 4096, 0xa5);
    m.freeFrameRun(first, 2);
    expect(m.allocFrames(4)).toBe(first);
    expect(m.mem.slice(first * 4096, 4 * 4096).every((byte) => byte === 0)).toBe(true);
  });

  it('is had as long as there is one, and no longer', () => {
    const m = makeMachine();
    const free = m.freeFrames;
    const first = m.allocFrames(free);
    expect(m.allocFrame()).toBe(-1);
    m.freeFrameRun(first, free);
    expect(m.freeFrames).toBe(free);
    expect(frameInfo.owner.get(m.mem, m.frame(first + free - 1))).toBe(OWNER_NONE);
    expect(m.allocFrames(free + 1)).toBe(-1);
  });
});
