/**
 * The console ring, one page. Indices run freely; a byte's place is its index modulo the size of its ring. `in` is
 * what the guest reads, `out` what it writes.
 *
 * @abi public/io/console.h
 */
import { block, struct, u32 } from '../base/layout.ts';

export const XENCONS_IN_SIZE = 1024;
export const XENCONS_OUT_SIZE = 2048;

export const xencons_interface = struct('xencons_interface', {
  in: block(XENCONS_IN_SIZE),
  out: block(XENCONS_OUT_SIZE),
  in_cons: u32,
  in_prod: u32,
  out_cons: u32,
  out_prod: u32,
});
