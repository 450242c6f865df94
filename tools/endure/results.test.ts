import { describe, expect, it } from 'vitest';
import { parseRound, Results } from './results.ts';

const SUM = (n: number): string => `${n}`.padStart(32, '0');

/** What a run comes to whose guest prints this, in pieces of so many characters. */
async function run(output: string, piece = 7) {
  const complaints: string[] = [];
  const right = async (round: number) => parseRound(`endure ${round} churn ${SUM(round)}\n`);
  const results = new Results(right, (text) => complaints.push(text));
  for (let at = 0; at < output.length; at += piece) results.take(output.slice(at, at + piece));
  await results.checked();
  return { results, complaints };
}

describe('the results of a guest', () => {
  it('are right where the host computes the same', async () => {
    const lines = [
      '[ 0.1] kernel',
      'endure begin',
      `endure 1 churn ${SUM(1)}`,
      'endure 1 done',
      'endure end',
      'off',
    ];
    const { results, complaints } = await run(`${lines.join('\r\n')}\r\n`);
    expect(complaints).toEqual([]);
    expect(results).toMatchObject({ rounds: 1, right: 1, wrong: 0, ended: true });
  });

  it('are wrong where it does not, and where it has none', async () => {
    const { results, complaints } = await run(
      `endure begin\nendure 1 churn ${SUM(2)}\nendure 2 forks ${SUM(2)}\n`,
    );
    expect(results).toMatchObject({ right: 0, wrong: 2, ended: false });
    expect(complaints).toEqual([
      `round 1, churn: ${SUM(2)}, and not ${SUM(1)}`,
      `round 2, forks: ${SUM(2)}, and not undefined`,
    ]);
  });

  it('are wrong where the host cannot compute them', async () => {
    const complaints: string[] = [];
    const fails = () => Promise.reject(new Error('no such program'));
    const results = new Results(fails, (text) => complaints.push(text));
    results.take(`endure 1 churn ${SUM(1)}\n`);
    await results.checked();
    expect(complaints).toEqual(['round 1 on the host: no such program']);
  });

  it('are wrong, too, when the kernel or a program has something to say meanwhile', async () => {
    const { results, complaints } = await run('endure begin\nBUG: unable to handle page fault\n');
    expect(results.wrong).toBe(1);
    expect(complaints).toEqual(['the guest said: BUG: unable to handle page fault']);
  });
});
