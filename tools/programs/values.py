"""Numbers of every kind through Python and the C library, printed exactly: one line a value, so that two runs compare."""
import array, cmath, decimal, fractions, hashlib, itertools, json, math, random, re, statistics, struct, zlib, binascii

EDGE = [0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 2.225073858507201e-308, 1e-300, 1e-17, 1.1102230246251565e-16,
        2.220446049250313e-16, 0.1, 1 / 3, 0.5, 0.7071067811865476, 0.9999999999999999, 1.0, 1.0000000000000002, 1.5, 2.0, 2.5,
        math.e, math.pi, math.pi / 2, math.pi / 4, 10.0, 100.5, 709.782712893384, 709.79, -745.2, 1e5, 1e9, 2147483647.0, 2147483648.5,
        4294967296.0, 9007199254740993.0, 9223372036854775807.0, 1.8446744073709552e19, 1e22, 1e23, 1e100, 1e300,
        1.7976931348623157e308, math.inf, math.nan]
random.seed(20)
VALUES = EDGE + [-v for v in EDGE] + [random.uniform(-10, 10) for _ in range(60)] + [
    math.ldexp(random.uniform(-1, 1), random.randint(-1074, 1023)) for _ in range(60)]

def show(v):
    if isinstance(v, float): return f'{v!r} {v.hex()}'
    if isinstance(v, tuple): return '(' + ', '.join(map(show, v)) + ')'
    return repr(v)

def attempt(name, f, *args):
    try: result = show(f(*args))
    except (ArithmeticError, ValueError) as e: result = f'{type(e).__name__} {e}'
    print(name, *map(repr, args), '=', result)

for name in ('acos acosh asin asinh atan atanh cbrt ceil cos cosh degrees erf erfc exp exp2 expm1 fabs floor frexp gamma '
             'isfinite lgamma log log10 log1p log2 modf radians sin sinh sqrt tan tanh trunc ulp').split():
    for v in VALUES: attempt(name, getattr(math, name), v)
for v in VALUES:
    for f in (int, round, float.is_integer, float.as_integer_ratio, hash, json.dumps, fractions.Fraction):
        if f is not hash or v == v: attempt(f.__name__, f, v)  # the hash of a NaN is its address
    for form in ('%.17g', '%e', '%.3f', '%g', '%.0f', '%.30e', '%#.5g'): attempt(form, lambda x, form=form: form % x, v)
    for fmt in 'def':
        attempt('pack ' + fmt, lambda x, fmt=fmt: struct.pack('<' + ('f' if fmt == 'f' else 'e' if fmt == 'e' else 'd'), x).hex(), v)
    attempt('float32', lambda x: array.array('f', [x])[0], v if abs(v) < 1e38 else 1.0)
SOME = EDGE[::2] + [-v for v in EDGE[1::3]] + VALUES[-12:]
for a, b in itertools.product(SOME, SOME):
    for name in ('pow', 'fmod', 'atan2', 'hypot', 'remainder', 'copysign', 'nextafter'): attempt(name, getattr(math, name), a, b)
    attempt('+', lambda a, b: a + b, a, b)
    attempt('-', lambda a, b: a - b, a, b)
    attempt('*', lambda a, b: a * b, a, b)
    attempt('/', lambda a, b: a / b, a, b)
    attempt('divmod', divmod, a, b)
    print((a < b, a <= b, a == b, a != b, a > b, a >= b))
for a in SOME[::2]:
    for name in 'sqrt exp log sin cos tan sinh cosh tanh asin acos atan'.split():
        for b in SOME[::5]:
            try: print(name, a, b, repr(getattr(cmath, name)(complex(a, b))))
            except (ArithmeticError, ValueError) as e: print(name, a, b, type(e).__name__)

for text in ('1e-400', '4.9e-324', '2.4703282292062327e-324', '2.4703282292062328e-324', '1.7976931348623158e308', '1.7976931348623159e308',
             '9007199254740992.999999999999999999', '0.' + '0' * 320 + '123456789', '123456789' * 30, '0.1e1', '1_0.5'):
    print(text[:40], show(float(text)))
for _ in range(1500):
    v = struct.unpack('<d', random.randbytes(8))[0]
    assert v != v or float(repr(v)) == v
    print(repr(v))

for bits in (31, 63, 64, 65, 127, 128, 1000, 20000):
    a, b = random.getrandbits(bits) | 1 << bits - 1, random.getrandbits(bits // 2 + 1) | 1
    print(bits, a * b % 10**30, a // b % 10**30, a % b % 10**30, a >> 7 & 0xffffffff, a.bit_length(), a.bit_count(), math.isqrt(a) % 10**30,
          math.gcd(a, b), pow(a, 65537, 2**127 - 1), -a // 3 % 10**30, hash(a), str(a % 10**50))
print(math.factorial(500), math.comb(300, 150), math.perm(40, 17), sum(math.prod(range(1, i)) for i in range(60)))
for bits in (512, 1024, 2048): print(pow(3, random.getrandbits(bits), random.getrandbits(bits) | 1))

decimal.getcontext().prec = 60
D = decimal.Decimal
for text in ('2', '0.1', '3.14159265358979', '1e-20', '123456789.987654321', '1e30'):
    d = D(text)
    print(d.sqrt(), d.exp() if d < 1000 else '', d.ln(), d.log10(), d ** D('1.7'), d / 7, 7 / d, d % 3 if d < 10**9 else '', float(d))
decimal.getcontext().prec = 2000
print(D(2).sqrt() * D(3).sqrt(), D(1).exp())
print(sum(fractions.Fraction(1, n) for n in range(1, 300)))

buffers = [random.randbytes(n) for n in (0, 1, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129, 1000, 65537, 300001)]
for name in sorted(hashlib.algorithms_guaranteed | {'ripemd160', 'sm3', 'md5-sha1', 'sha512_256'}):
    for b in buffers:
        try: h = hashlib.new(name, b)
        except ValueError: print(name, 'missing'); break
        print(name, len(b), h.hexdigest(40) if name.startswith('shake') else h.hexdigest())
print(hashlib.pbkdf2_hmac('sha256', b'pw', b'salt', 2000).hex(), hashlib.scrypt(b'pw', salt=b'salt', n=1024, r=8, p=1).hex())
for b in buffers:
    packed = [zlib.compress(b * 3, level) for level in (1, 6, 9)]
    assert all(zlib.decompress(p) == b * 3 for p in packed)
    print(zlib.crc32(b), zlib.adler32(b), binascii.crc_hqx(b, 0), *[hashlib.md5(p).hexdigest() for p in packed])
    assert binascii.a2b_base64(binascii.b2a_base64(b)) == b
try:
    import bz2, lzma
    for b in buffers: print(hashlib.md5(bz2.compress(b)).hexdigest(), hashlib.md5(lzma.compress(b)).hexdigest())
except ImportError as e: print(e)

tree = {'floats': [random.gauss(0, 1e9) for _ in range(400)], 'ints': [random.getrandbits(90) for _ in range(200)],
        'text': ''.join(chr(random.choice((random.randint(32, 126), random.randint(160, 0xd7ff), 0x1f600))) for _ in range(2000))}
text = json.dumps(tree, sort_keys=True)
assert json.loads(text) == tree
print(text[:20000], hashlib.sha256(text.encode()).hexdigest())
data = [random.random() for _ in range(3000)]
print(statistics.fmean(data), statistics.stdev(data), statistics.median(data), math.fsum(data), sum(data), sorted(data)[::100])
words = re.findall(r'\w+', tree['text'])
print(hashlib.md5(' '.join(sorted(words, key=str.casefold)).encode()).hexdigest(), len(words), tree['text'].upper()[:300].encode('unicode_escape'))
for encoding in ('utf-8', 'utf-16-le', 'utf-32-be', 'utf-7'): print(encoding, hashlib.md5(tree['text'].encode(encoding, 'replace')).hexdigest())
print(random.gauss(0, 1), random.expovariate(3), random.betavariate(2, 3), random.vonmisesvariate(1, 2), random.sample(range(10**9), 5))
for code in 'bBhHiIqQ':
    n = struct.calcsize('=' + code) * 8
    print(code, array.array(code, [random.getrandbits(n - 1) for _ in range(20)]).tolist())
