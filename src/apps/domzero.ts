/** The program `domzero`: the composition root of the command line. */
import { main } from './main.ts';
import { runProgram } from './program.ts';
import { startGuests } from './start-guests.ts';

void runProgram('domzero', (parts) => main(process.argv.slice(2), { ...parts, runGuests: startGuests }));
