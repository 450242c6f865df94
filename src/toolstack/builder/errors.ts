/** Why a domain could not be built. */
export type BuildCode = 'memory' | 'image' | 'refused';

export class BuildError extends Error {
  readonly code: BuildCode;
  constructor(code: BuildCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'BuildError';
    this.code = code;
  }
}
