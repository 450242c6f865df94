/**
 * `node bench/v86-machine.mjs '{"v86", "bios", "kernel", "initrd", "cmdline", "memory"}'`: one v86, a process of its own as
 * the other machines are. The guest's serial port is the output; the process ends when the kernel has halted.
 */
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { v86, bios, kernel, initrd, cmdline, memory } = JSON.parse(process.argv[2]);
const { V86 } = await import(pathToFileURL(join(v86, 'build', 'libv86.mjs')));

function image(path) {
  const bytes = readFileSync(path);
  return { buffer: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) };
}

const machine = new V86({
  wasm_path: join(v86, 'build', 'v86.wasm'),
  bios: image(join(bios, 'bios.bin')),
  vga_bios: image(join(bios, 'vgabios-stdvga.bin')),
  bzimage: image(kernel),
  initrd: image(initrd),
  cmdline,
  memory_size: memory << 20,
  disable_speaker: true,
  autostart: true,
});

// Whole lines, so that the host's system calls are not what is measured.
let line = '';
machine.add_listener('serial0-output-byte', (byte) => {
  line += String.fromCharCode(byte);
  if (byte !== 10) return;
  writeSync(1, line);
  if (/reboot: (System halted|Power down)/.test(line)) process.exit(0);
  line = '';
});
