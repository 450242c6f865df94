/**
 * How a domain ends: noticing that it did and why, and asking it to.
 *
 *   const watcher = new DomainWatcher(kernel, store);
 *   const { reason } = await watcher.ended(domid);
 *   if (actionFor(config, reason) === 'restart') ...
 */
import * as sched from '../../abi/sched.ts';
import { VIRQ_DOM_EXC } from '../../abi/xen.ts';
import { domainBase, type XenStore, type XsClient, XsError } from '../../control/xenstore/index.ts';
import type { DomainInfo, Domctl, EventChannels } from '../../kernel/index.ts';
import type { DomainConfig, ShutdownAction } from '../xlcfg/domain-config.ts';

const REASONS = {
  [sched.SHUTDOWN_poweroff]: 'poweroff',
  [sched.SHUTDOWN_reboot]: 'reboot',
  [sched.SHUTDOWN_suspend]: 'suspend',
  [sched.SHUTDOWN_crash]: 'crash',
  [sched.SHUTDOWN_watchdog]: 'watchdog',
  [sched.SHUTDOWN_soft_reset]: 'soft_reset',
} as const;

/** Why a domain has shut down; unknown where the guest gave a code that means nothing. */
export type ShutdownReason = (typeof REASONS)[keyof typeof REASONS] | 'unknown';

export const shutdownReason = (code: number): ShutdownReason =>
  (REASONS as Record<number, ShutdownReason>)[code] ?? 'unknown';

/** `gone`: it was destroyed before it shut down, or without anyone waiting. */
export interface DomainEnd {
  readonly domid: number;
  readonly reason: ShutdownReason | 'gone';
}

export interface WatchedKernel {
  readonly events: Pick<EventChannels, 'bindVirq' | 'close'>;
  readonly domctl: Pick<Domctl, 'getDomainInfo' | 'listDomains'>;
}

/** Whom to tell of every domain's end: XenStore fires @releaseDomain then. */
export type EndListener = Pick<XenStore, 'domainShutdown' | 'domainDied'>;

/** The one that takes domain 0's VIRQ_DOM_EXC, which comes whenever a domain has shut down or is gone. */
export class DomainWatcher {
  private readonly kernel: WatchedKernel;
  private readonly listener: EndListener | undefined;
  private readonly port: number;
  /** The domains there were at the last look, and whether they had shut down. */
  private readonly known = new Map<number, { shutdown: boolean }>();
  private readonly waiting = new Map<number, ((end: DomainEnd) => void)[]>();

  constructor(kernel: WatchedKernel, listener?: EndListener) {
    this.kernel = kernel;
    this.listener = listener;
    this.port = kernel.events.bindVirq(VIRQ_DOM_EXC, () => this.look());
    this.look();
  }

  /** Resolves once the domain has shut down or is gone; at once where that is so already. */
  ended(domid: number): Promise<DomainEnd> {
    return new Promise((resolve) => {
      this.waiting.set(domid, [...(this.waiting.get(domid) ?? []), resolve]);
      const info = this.kernel.domctl.getDomainInfo(domid);
      if (info === undefined || info.dying) return this.gone(domid);
      const { shutdown } = this.domain(domid);
      this.see(info);
      // One that the last look has seen already wakes nobody else.
      if (info.shutdown && shutdown) this.wake(domid, shutdownReason(info.shutdownCode));
    });
  }

  /** Looks no more: those that still wait are left waiting. */
  close(): void {
    this.kernel.events.close(this.port);
  }

  private look(): void {
    const domains = this.kernel.domctl.listDomains().filter((info) => info.domid !== 0 && !info.dying);
    const there = new Set(domains.map((info) => info.domid));
    for (const domid of [...this.known.keys()]) if (!there.has(domid)) this.gone(domid);
    for (const info of domains) this.see(info);
  }

  private domain(domid: number): { shutdown: boolean } {
    let known = this.known.get(domid);
    if (known === undefined) this.known.set(domid, (known = { shutdown: false }));
    return known;
  }

  private see(info: DomainInfo): void {
    const known = this.domain(info.domid);
    const before = known.shutdown;
    // A domain that was resumed can shut down again.
    known.shutdown = info.shutdown;
    if (before || !info.shutdown) return;
    this.listener?.domainShutdown(info.domid);
    this.wake(info.domid, shutdownReason(info.shutdownCode));
  }

  private gone(domid: number): void {
    if (this.known.delete(domid)) this.listener?.domainDied(domid);
    this.wake(domid, 'gone');
  }

  private wake(domid: number, reason: DomainEnd['reason']): void {
    const waiting = this.waiting.get(domid) ?? [];
    this.waiting.delete(domid);
    for (const resolve of waiting) resolve({ domid, reason });
  }
}

type Actions = Pick<DomainConfig, 'onPoweroff' | 'onReboot' | 'onCrash' | 'onWatchdog' | 'onSoftReset'>;

/** What the configuration wants done now; undefined where that is the business of whoever suspended the domain. */
export function actionFor(config: Actions, reason: ShutdownReason): ShutdownAction | undefined {
  switch (reason) {
    case 'poweroff':
      return config.onPoweroff;
    case 'reboot':
      return config.onReboot;
    case 'crash':
      return config.onCrash;
    case 'watchdog':
      return config.onWatchdog;
    case 'soft_reset':
      return config.onSoftReset;
    case 'suspend':
      return undefined;
    case 'unknown':
      return 'destroy';
  }
}

/** What a guest's kernel can be asked through its XenStore nodes. */
export type ShutdownRequest = 'poweroff' | 'reboot' | 'suspend' | 'halt';

/**
 * Asks a guest to shut down. That it heard is only to be seen by its clearing the node, and by its end. Throws
 * XsError ENOENT where there is no such domain.
 */
export async function requestShutdown(xs: XsClient, domid: number, request: ShutdownRequest): Promise<void> {
  const base = domainBase(domid);
  await xs.transaction(async (t) => {
    // Writing would make the nodes of a domain that is not there.
    if (!(await t.exists(base))) throw new XsError('ENOENT', `there is no domain ${domid} in XenStore`);
    await t.write(`${base}/control/shutdown`, request);
  });
}
