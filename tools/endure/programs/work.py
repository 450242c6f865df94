"""`work.py ROUND FILE`: computes things that depend on the round, prints a checksum, and leaves a compressed FILE."""
import hashlib
import json
import lzma
import random
import re
import sys
import zlib
from decimal import Decimal, getcontext
from fractions import Fraction

chance = random.Random(int(sys.argv[1]))
found = hashlib.sha256()


def add(value):
    found.update(repr(value).encode())


# Python code that was never there before.
for n in range(20):
    name = f'f{chance.randrange(1 << 30)}'
    steps = '\n'.join(
        f'    x = (x {chance.choice("+-*^")} {chance.randrange(1 << 40)}) % {chance.randrange(1 << 50) + 1}'
        for _ in range(chance.randrange(5, 40))
    )
    scope = {}
    exec(f'def {name}(x):\n{steps}\n    return x\n', scope)
    add([scope[name](k) for k in range(200)])

tree = {str(k): [chance.random(), chance.randrange(1 << 70), {'k': chr(97 + k % 26) * (k % 9)}] for k in range(1500)}
text = json.dumps(tree, indent=1)
add(json.loads(text) == tree)
add(re.sub(r'(\d+)\.(\d)', r'\2,\1', text)[:5000])
add(sorted(re.findall(r'"(\w+)": \[', text), key=lambda k: hashlib.md5(k.encode()).digest()))
add(zlib.crc32(zlib.compress(text.encode())))
getcontext().prec = 200
add(Decimal(chance.randrange(1 << 60)).sqrt() / 7)
add(sum((Fraction(1, chance.randrange(1, 500)) for _ in range(150)), Fraction()))
add(pow(chance.getrandbits(700), chance.getrandbits(700), chance.getrandbits(700) | 1))
add([chance.gauss(0, 1) ** 3 for _ in range(2000)])
with open(sys.argv[2], 'wb') as file:
    file.write(lzma.compress(text.encode(), preset=1))
print(found.hexdigest())
