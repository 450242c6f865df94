/** Logging: a level, the part that speaks, and a line. The composition root decides where lines go. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogSink = (level: LogLevel, part: string, line: string) => void;

export interface Logger {
  debug(line: string): void;
  info(line: string): void;
  warn(line: string): void;
  error(line: string): void;
}

export function makeLogger(part: string, sink: LogSink): Logger {
  return {
    debug: (line) => sink('debug', part, line),
    info: (line) => sink('info', part, line),
    warn: (line) => sink('warn', part, line),
    error: (line) => sink('error', part, line),
  };
}

export const silent: LogSink = () => {};
