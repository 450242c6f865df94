/**
 * Registers of the guest in compiled code: in locals where they have been read or written since ways last met, else in
 * the vCPU's state. What has been written into a local is stored where ways meet or code is left. So there is little to
 * bring together where ways meet, and nothing to load or store where a region begins or ends; only small loops keep
 * registers in locals all around.
 */
import type { Mem } from '../../base/mem.ts';
import { OP, SIMD } from '../../wasm/opcodes.ts';
import type { CodeSize } from '../../x86/insn.ts';
import { cpuState } from '../cpu-state.ts';
import { LOCAL } from '../emit/access.ts';
import { RecordEmitter } from '../emit/record-emitter.ts';
import { TMP, XTMP } from '../interp/record-writer.ts';
import { Addresses } from './addresses.ts';
import { Locals } from './locals.ts';

const XMM = cpuState.xmm.offset;
const TEMPORARIES = [...TMP, XMM + XTMP, XMM + XTMP + 16];

export interface KnownRegisters {
  readonly valid: ReadonlySet<number>;
  readonly dirty: ReadonlySet<number>;
}

export abstract class RegionRegisters extends RecordEmitter {
  readonly locals = new Locals();
  readonly addresses: Addresses;
  readonly codeSize: CodeSize;
  protected readonly mem: Mem;
  /** Registers whose locals have their values, by their offset in the vCPU's state. */
  private valid = new Set<number>();
  /** Of those, the ones that the vCPU's state does not have yet. */
  private dirty = new Set<number>();
  /** Nesting of code that may not be run, or several times: what it writes is stored at once. */
  protected conditional = 0;

  constructor(mem: Mem, codeSize: CodeSize = 64) {
    super();
    this.mem = mem;
    this.codeSize = codeSize;
    this.addresses = new Addresses(mem, codeSize);
  }

  /** The local with a register's value, of 8 bytes. */
  protected fetch(offset: number): number {
    const local = this.locals.register(offset);
    if (this.valid.has(offset)) return local;
    this.cpu64(offset);
    this.code.set(local);
    this.valid.add(offset);
    return local;
  }
  /** The register becomes what is on the stack. */
  protected assign(offset: number): void {
    this.code.set(this.locals.register(offset));
    this.assigned(offset);
    this.addresses.change(offset);
  }
  /** Likewise a vector register, by its offset from the first. */
  protected fetchVector(offset: number): number {
    const { code } = this;
    const local = this.locals.vector(offset);
    if (this.valid.has(XMM + offset)) return local;
    code.get(LOCAL.cpu);
    code.simdMem(SIMD.v128_load, 0, XMM + offset);
    code.set(local);
    this.valid.add(XMM + offset);
    return local;
  }
  protected assignVector(offset: number): void {
    this.code.set(this.locals.vector(offset));
    this.assigned(XMM + offset);
  }
  private assigned(offset: number): void {
    this.valid.add(offset);
    if (this.conditional === 0) this.dirty.add(offset);
    else if (!this.dirty.has(offset)) this.store(offset);
  }
  private store(offset: number): void {
    const { code, locals } = this;
    code.get(LOCAL.cpu);
    if (isVector(offset)) {
      code.get(locals.vector(offset - XMM));
      code.simdMem(SIMD.v128_store, 0, offset);
    } else {
      code.get(locals.register(offset));
      code.mem(OP.i64_store, 3, offset);
    }
  }

  // --- ways --------------------------------------------------------------------------------------------------------

  get registers(): KnownRegisters {
    return { valid: new Set(this.valid), dirty: new Set(this.dirty) };
  }
  set registers({ valid, dirty }: KnownRegisters) {
    this.valid = new Set(valid);
    this.dirty = new Set(dirty);
  }
  /** Stores what the vCPU's state does not have yet, but for some. */
  protected storeAll(except: ReadonlySet<number> = NONE): void {
    for (const at of this.dirty) {
      if (except.has(at)) continue;
      this.store(at);
      this.dirty.delete(at);
    }
  }
  /** Something else has written a register. */
  protected forgetRegister(offset: number): void {
    this.valid.delete(offset);
    this.dirty.delete(offset);
  }
  /** On to where ways meet: there the locals have these registers. */
  carry({ valid, dirty }: KnownRegisters): void {
    // they are of an instruction, and none goes on there
    for (const at of TEMPORARIES) this.forgetRegister(at);
    for (const at of valid) {
      if (isVector(at)) this.fetchVector(at - XMM);
      else this.fetch(at);
    }
    this.storeAll(dirty);
  }
}

const isVector = (offset: number): boolean => offset >= XMM && offset < cpuState.fpr.offset;
const NONE: ReadonlySet<number> = new Set();
export const NOTHING: KnownRegisters = { valid: NONE, dirty: NONE };
