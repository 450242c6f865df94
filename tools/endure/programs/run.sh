# `run.sh ROUND PART...`: one round. Each part prints `endure ROUND PART CHECKSUM`; the checksums depend on the round alone.
# What is on standard error went wrong. The host and the guest both run this, each in a folder of its own, with busybox's
# shell. $WORK is where this file lies, $BUSYBOX that shell, $DEBIAN the root of Debian's programs, and $LOADER what
# starts one of those.
PATH=
round=$1
shift

text() {
  awk -v s=$round 'function r(n) { s = (s * 69069 + 12345) % 2147483648; return int(s / 4096) % n }
    BEGIN { for (i = 0; i < 400; i++) { w[i] = ""; for (k = 2 + r(8); k; k--) w[i] = w[i] sprintf("%c", 97 + r(26)) }
      for (i = 0; i < 1500; i++) { for (k = 5 + r(9); k; k--) printf "%s ", w[r(20 + r(380))]; print r(99999) } }'
}

# Made machine code, in every way that it comes and goes.
churn() { $WORK/churn $round 300; }

# Busybox's compressors on a text, there and back.
compress() {
  text > text
  gzip -c text > text.gz
  gzip -9 -c text | gunzip -c | md5sum
  bzip2 -c text > text.bz2
  bunzip2 -c text.bz2 | md5sum
  gunzip -c text.gz | cmp - text
  md5sum < text.gz
  md5sum < text.bz2
  sort text | uniq -c | sha1sum
}

# Processes: of a shell by itself, in pipes, several at a time, and new ones.
forks() {
  i=0
  while [ $i -lt 40 ]; do
    i=$((i + 1))
    seq $i $((i + round % 9)) | sort -r | tr '\n' ' ' | md5sum
    (x=$((i * round)); (echo $x | sed 's/1/one/g'))
    $BUSYBOX sh -c "echo $i; $BUSYBOX expr $i \\* $round"
  done
  for k in 1 2 3 4 5 6; do (seq $((k * round)) $((k * round + 300)) | md5sum > forks.$k) & done
  wait
  cat forks.*
}

# Debian's Python on a script, and its LZMA against busybox's.
python() {
  PYTHONHOME=$DEBIAN/usr PYTHONHASHSEED=0 $LOADER $DEBIAN/usr/bin/python3.11 -S -B $WORK/work.py $round work.xz
  unxz -c work.xz | md5sum
}

# GCC and its assembler on a file that is new each time, and what they made.
compile() {
  cat > fresh.c <<EOF
unsigned long f(unsigned long x, unsigned long n) {
  for (unsigned long i = 0; i < n; i++) {
    x = x * $((round * 2 + 1))ul + (x >> $((round % 50 + 3)));
    if (x % $((round % 300 + 2)) == 1) x ^= i;
    for (unsigned long k = x & 7; k > 0; k--) x = x / $((round % 77 + 3)) + (x << k);
  }
  return x;
}
EOF
  sed "s/33/$((round % 54 + 9))/g; s/12345/$((round + 12345))/" $WORK/unit.c > unit.c
  for file in fresh unit; do
    $LOADER $DEBIAN/usr/lib/gcc/x86_64-linux-gnu/12/cc1 -quiet -fpreprocessed -O$((round % 3)) $file.c -o $file.s
    $LOADER $DEBIAN/usr/bin/x86_64-linux-gnu-as -o $file.o $file.s
    md5sum < $file.s
    md5sum < $file.o
  done
  $WORK/object fresh.o $round 50000
}

for part; do
  set -- $($part | md5sum)
  echo "endure $round $part $1"
done
