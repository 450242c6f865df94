# Runs every program of the tree: with a name on standard output before what it prints. The host and the guest run this.
export PATH=/bin:/usr/bin LC_ALL=C PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp OPENSSL_CONF=/dev/null
cd /programs
part() { echo "== $1"; }
part keys
openssl pkey -in ec.pem -pubout 2>&1
openssl dgst -sha256 -sign rsa.pem data | busybox md5sum
openssl pkeyutl -sign -inkey ed25519.pem -rawin -in small | busybox md5sum
# 2^n - 1, one of which is not prime: modular powers of many widths
for n in 127 521 607 1023 1279 2203; do
  hex=$(busybox printf "%$((n / 4))s" | busybox tr ' ' F)
  openssl prime -hex $(((1 << n % 4) - 1))$hex
done
openssl dgst -sha384 -sign rsa.pem -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:0 data | busybox md5sum
openssl rsa -in rsa.pem -check -noout 2>&1
part compiler
cc1=/usr/lib/gcc/x86_64-linux-gnu/12/cc1
for o in -O0 -O2 '-O3 -mavx2' -Os; do
  $cc1 -quiet -fpreprocessed $o unit.c -o /tmp/unit.s && x86_64-linux-gnu-as -o /tmp/unit.o /tmp/unit.s
  echo "$o $(busybox md5sum < /tmp/unit.s) $(busybox md5sum < /tmp/unit.o)"
done
part digests
for d in $(openssl list -digest-commands) md4 mdc2 whirlpool; do
  echo "$(openssl dgst -provider default -provider legacy -$d -r data 2>/dev/null || echo none) $d"
done
part perl
perl values.pl 2>&1
part ciphers
crypt() { openssl enc -provider default -provider legacy -nosalt -pbkdf2 -iter 10 -pass pass:domzero "$@" 2>/dev/null; }
for c in $(openssl enc -provider default -provider legacy -list | busybox tail -n +2); do
  # A wrapped DES key has random bytes in it.
  case $c in *des*wrap | *DESwrap) continue ;; esac
  # Those that make one bit or one byte at a time, and DES three times over, take a while.
  case $c in *cfb1) file=small ;; *cfb8 | *des-ede* | *des3* | *aria*) file=some ;; *) file=data ;; esac
  crypt $c -e -in $file -out /tmp/enc
  echo "$c $? $(busybox md5sum < /tmp/enc) $(crypt $c -d -in /tmp/enc | busybox md5sum)"
done
part python
python3.11 values.py 2>&1
part end
