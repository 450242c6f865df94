/** What the guest prints, held against what the host computes. */

const RESULT = /^endure (\d+) (\w+) ([\da-f]{32})$/;

/** The right results of a round: part to checksum. */
export type Round = ReadonlyMap<string, string>;

export function parseRound(output: string): Round {
  const found = output.split('\n').map((line) => RESULT.exec(line));
  return new Map(found.flatMap((m) => (m ? [[m[2] as string, m[3] as string]] : [])));
}

export class Results {
  rounds = 0;
  right = 0;
  wrong = 0;
  /** The guest has said that it is done. */
  ended = false;
  private begun = false;
  private rest = '';
  private readonly rightOnes = new Map<number, Promise<Round>>();
  private readonly checks = new Set<Promise<void>>();
  private readonly compute: (round: number) => Promise<Round>;
  private readonly complain: (text: string) => void;

  /** `compute` finds the right results of a round; `complain` is told of each that is wrong. */
  constructor(compute: (round: number) => Promise<Round>, complain: (text: string) => void) {
    this.compute = compute;
    this.complain = complain;
  }

  /** More of the guest's console. */
  take(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() as string;
    for (const line of lines) this.line(line.replace(/\r+$/, ''));
  }
  /** Until everything is checked that the guest has printed so far. */
  async checked(): Promise<void> {
    await Promise.all(this.checks);
  }

  private line(line: string): void {
    if (line === 'endure begin') this.begun = true;
    else if (line === 'endure end') this.ended = true;
    else if (/^endure \d+ done$/.test(line)) this.rounds++;
    else if (RESULT.test(line)) this.check(line);
    // what the kernel or a program has to say otherwise is that something went wrong
    else if (this.begun && !this.ended && line !== '') this.isWrong(`the guest said: ${line}`);
  }
  private isWrong(text: string): void {
    this.wrong++;
    this.complain(text);
  }
  private check(line: string): void {
    const [, number, part, got] = RESULT.exec(line) as unknown as [string, string, string, string];
    const round = Number(number);
    let right = this.rightOnes.get(round);
    if (!right) this.rightOnes.set(round, (right = this.compute(round)));
    const compare = (results: Round): void => {
      const wanted = results.get(part);
      if (got === wanted) this.right++;
      else this.isWrong(`round ${round}, ${part}: ${got}, and not ${wanted}`);
    };
    const failed = (error: Error): void => this.isWrong(`round ${round} on the host: ${error.message}`);
    const check = right.then(compare, failed).finally(() => this.checks.delete(check));
    this.checks.add(check);
  }
}
