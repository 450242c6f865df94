/** What becomes of guests' profiles: each shown at the guest's end, or all of them in one JSON file. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { RunCommand } from './args.ts';
import type { GuestProfile } from './cpu-profile.ts';
import { AppError, EXIT } from './exit-status.ts';
import { hotSpots, profileReport } from './profile-report.ts';
import { SymbolMap } from './symbols.ts';

function readSymbols(path: string): SymbolMap {
  try {
    return SymbolMap.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new AppError(EXIT.usage, `--symbols ${path}: ${(error as Error).message}`, { cause: error });
  }
}

export class Profiles {
  private readonly file: string | undefined;
  private readonly symbols: SymbolMap | undefined;
  private readonly show: (text: string) => void;
  private readonly guests: object[] = [];

  /** Throws AppError for files that cannot be read or written. `show` is for whoever waits for the report. */
  constructor(options: NonNullable<RunCommand['profile']>, show: (text: string) => void) {
    this.file = options.file;
    this.symbols = options.symbols === undefined ? undefined : readSymbols(options.symbols);
    this.show = show;
    this.write();
  }

  add(name: string, profile: GuestProfile): void {
    if (this.file === undefined) return this.show(profileReport(name, profile, this.symbols));
    const { samples, ...rest } = profile;
    this.guests.push({ name, ...rest, hot: hotSpots(samples, this.symbols) });
    this.write();
  }

  private write(): void {
    if (this.file === undefined) return;
    try {
      writeFileSync(this.file, `${JSON.stringify({ guests: this.guests }, null, 2)}\n`);
    } catch (error) {
      throw new AppError(EXIT.usage, `--profile=${this.file}: ${(error as Error).message}`, { cause: error });
    }
  }
}
