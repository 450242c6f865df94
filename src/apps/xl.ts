/** The program `xl`, as far as it goes without a daemon: `xl create -F FILE` runs a guest in the foreground. */
import { runProgram } from './program.ts';
import { startGuests } from './start-guests.ts';
import { xlMain } from './xl-main.ts';

void runProgram('xl', (parts) => xlMain(process.argv.slice(2), { ...parts, runGuests: startGuests }));
