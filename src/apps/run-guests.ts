/** Starts guests: the composition root of the machine, the hypervisor and domain 0. */
import { AppError, EXIT } from './exit-status.ts';
import type { RunGuests } from './guest-run.ts';

export const runGuests: RunGuests = async () => {
  throw new AppError(EXIT.failed, 'this build has no hypervisor');
};
