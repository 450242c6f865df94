/** The hypervisor: the face of the folder. */
export { type BootOptions, bootHypervisor } from './boot.ts';
export { Dom0Gate } from './gate.ts';
export { HvmPlatform } from './hvm/platform.ts';
export { Hypervisor, type HypervisorOptions } from './hypervisor.ts';
export { PcpuLoop, type PcpuOptions } from './sched/pcpu.ts';
