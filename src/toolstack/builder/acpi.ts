export function buildAcpi(_o: { vcpus: number }): { base: number; bytes: Uint8Array; rsdp: number } {
  return { base: 0xfc001000, bytes: new Uint8Array(64), rsdp: 0 };
}
