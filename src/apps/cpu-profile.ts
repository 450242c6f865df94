/** Profiles of the guests that run on this thread's CPU: one for each, told when the last of its vCPUs is gone. */
import type { Hypervisor, PcpuLoop } from '../hypervisor/index.ts';
import { domainRecord, VCPU_CPU_OFFSET, vcpuRecord } from '../hypervisor/records.ts';
import { cpuState } from '../machine/cpu-state.ts';
import type { Engine } from '../machine/platform.ts';
import { Profile, type ProfileData } from '../machine/profile/profile.ts';
import type { Profiler } from '../machine/profile/profiler.ts';

/** What there is to say of a guest. */
export interface GuestProfile extends ProfileData {
  readonly domid: number;
}

interface Guest {
  readonly domid: number;
  readonly profile: Profile;
  /** Of its vCPUs, those that have run and are not gone. */
  readonly cpus: Set<number>;
}

export class CpuProfile {
  private readonly hv: Hypervisor;
  private readonly profiler: Profiler;
  private readonly tell: (profile: GuestProfile) => void;
  private readonly byCpu = new Map<number, Guest>();
  private readonly byDomid = new Map<number, Guest>();
  /** When the engine was left last; 0 after an idle time. */
  private leftAt = 0;

  constructor(hv: Hypervisor, profiler: Profiler, tell: (profile: GuestProfile) => void) {
    this.hv = hv;
    this.profiler = profiler;
    this.tell = tell;
  }

  /** Measures what the loop and its engine do from now on. */
  watch(engine: Engine, loop: PcpuLoop): void {
    const p = this.profiler;
    p.around(engine, 'run', 'engine', (_ns, _args, exit) => {
      p.profile.exits[exit]!++;
      this.leftAt = p.now();
    });
    p.before(engine, 'run', (cpu) => this.enters(cpu));
    p.before(engine, 'injectInterrupt', (cpu) => this.injects(cpu));
    p.before(engine, 'release', (cpu) => this.released(cpu));
    p.around(loop, 'idle', undefined, () => {
      this.leftAt = 0;
    });
    p.enter('hypervisor');
  }

  /** The CPU stops: tells of all guests that are left. */
  end(): void {
    for (const guest of [...this.byDomid.values()]) this.finish(guest);
  }

  private guestOf(cpu: number): Guest {
    let guest = this.byCpu.get(cpu);
    if (guest) return guest;
    const { mem } = this.hv;
    const domid = domainRecord.domid.get(mem, vcpuRecord.domain.get(mem, cpu - VCPU_CPU_OFFSET));
    guest = this.byDomid.get(domid) ?? { domid, profile: new Profile(), cpus: new Set() };
    this.byDomid.set(domid, guest);
    this.byCpu.set(cpu, guest);
    guest.cpus.add(cpu);
    return guest;
  }

  private enters(cpu: number): void {
    const p = this.profiler;
    const { mem } = this.hv;
    p.select(this.guestOf(cpu).profile);
    if (this.leftAt !== 0) p.profile.piece('hypervisor', p.now() - this.leftAt);
    // what was raised has been delivered, or was taken back
    if (cpuState.irqWindow.get(mem, cpu) === 0) vcpuRecord.waitsSince.set(mem, cpu - VCPU_CPU_OFFSET, 0);
  }

  private injects(cpu: number): void {
    const { mem } = this.hv;
    const since = vcpuRecord.waitsSince.addr(cpu - VCPU_CPU_OFFSET);
    const raised = mem.n64(since);
    if (raised === 0) return;
    mem.setN64(since, 0);
    this.guestOf(cpu).profile.latency.add(Math.max(0, this.hv.now() - raised));
  }

  private released(cpu: number): void {
    const guest = this.byCpu.get(cpu);
    if (!guest) return;
    this.byCpu.delete(cpu);
    guest.cpus.delete(cpu);
    if (guest.cpus.size === 0) this.finish(guest);
  }
  private finish(guest: Guest): void {
    this.byDomid.delete(guest.domid);
    this.tell({ domid: guest.domid, ...guest.profile.data() });
  }
}
