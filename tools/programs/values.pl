# Perl's arithmetic, formats, packing and sorting; one line a value, so that two runs compare.
use strict; use warnings; no warnings qw(numeric uninitialized overflow portable pack redundant);
use integer; my @ints = (0, 1, -1, 7, -7, 10, 255, 65536, 2147483647, -2147483648, 4294967295, 9223372036854775807, -9223372036854775807-1);
for my $a (@ints) { for my $b (@ints) {
  print join(' ', $a, $b, $a+$b, $a-$b, $a*$b, $b && $b != -1 ? ($a/$b, $a%$b) : (), $a<=>$b, $a&$b, $a|$b, $a^$b, $a<<($b&63), $a>>($b&63)), "\n";
} }
no integer;
my @values = (@ints, 0.1, 1/3, -2.5, 3.5, 1e15, 1e16, 123456789.123456789, 1e-5, 1.5e-310, 1e308, 9**9**9, -9**9**9, 18446744073709551615, 18446744073709551616);
my $x = 12345; sub rnd { $x = ($x * 1103515245 + 12345) % 2147483648; $x }
push @values, map { (rnd() - 1073741824) / (1 + rnd() % 100000) } 1 .. 200;
for my $v (@values) {
  print join(' ', $v, sprintf('%d %u %x %o %b %e %.3f %g %.15g %s %a %08.2f %+d', ($v) x 13), int $v, abs $v,
    $v >= 0 ? sqrt $v : 'i', $v > 0 ? log $v : 'l', sin $v, cos $v, exp($v > 700 ? 1 : $v), atan2($v, 3)), "\n";
  print eval { unpack('H*', pack('cCsSlLqQnNvVwfdF', (int $v) x 12, abs int $v > 1e18 ? 5 : 6, $v, $v, $v)) } // $@, "\n";
}
for my $a (@values[0 .. 60]) { for my $b (@values[5 .. 50]) {
  print join(' ', $a+$b, $a-$b, $a*$b, ($b ? $a/$b : '-'), (int $b ? eval { $a % $b } // 'x' : '-'), $a**($b/50), $a<=>$b, $a cmp $b, $a & $b, $a ^ $b), "\n";
} }
my @list = map { rnd() } 1 .. 5000;
print join(',', (sort { $a <=> $b } @list)[0 .. 300]), "\n", join(',', (sort @list)[0 .. 300]), "\n", join(',', (reverse sort { $a % 1000 <=> $b % 1000 or $a <=> $b } @list)[0 .. 300]), "\n";
my %h; $h{$_ % 777} += $_ for @list; print join(' ', map { "$_=$h{$_}" } sort { $a <=> $b } keys %h), "\n";
my $text = join ' ', map { chr(97 + $_ % 26) x (1 + $_ % 9) } @list;
my %count; $count{$_}++ while $text =~ /(\w)\1*/g && ($_ = $1, 1); print join(' ', map { "$_$count{$_}" } sort keys %count), "\n";
(my $y = $text) =~ tr/a-m/A-M/; $y =~ s/(\w+) (\w+)/$2-$1/g; print substr($y, 0, 3000), "\n", unpack('%32C*', $y), ' ', unpack('%64b*', $y), "\n";
print crypt('password', '$6$saltsalt'), ' ', crypt('password', '$1$salt'), ' ', crypt('password', '$5$salt'), ' ', crypt('password', 'ab'), "\n";
