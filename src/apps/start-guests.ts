/** Runs guests. What builds them is loaded while their CPU's thread starts, and only where there are guests to run. */
import { CpuThread } from './cpu-thread.ts';
import type { RunGuests } from './guest-run.ts';

export const startGuests: RunGuests = async (configs, options, io) => {
  const cpu = new CpuThread();
  const { runGuests } = await import('./run-guests.ts');
  return runGuests(cpu, configs, options, io);
};
