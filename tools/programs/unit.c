/* What the compilers of the two runs have to turn into the same bytes: constants to fold, loops to turn, structures. */
typedef unsigned long u64;
typedef struct { double x, y; float f; int n; } point;
static const double table[] = { 1.0 / 3, 1e-320, 3.14159265358979323846, 1e308 * 10, 0x1.fffffffffffffp-1022 };
static const long double wide[] = { 1.0L / 3, 1e-4940L, 3.14159265358979323846264338L, 1e4000L * 7 };
static const float narrow[] = { 1.0f / 3, 1e-40f, 3.1415927f, 16777217.0f };
double fold(void) { return __builtin_sin(1.0) + __builtin_pow(2.0, 0.3) + __builtin_sqrt(2.0) * __builtin_exp(0.7); }
long double wide_at(int i) { return wide[i & 3] + narrow[i & 3]; }
void scale(float *restrict a, const float *restrict b, int n) { for (int i = 0; i < n; i++) a[i] = a[i] * b[i] + 1.5f; }
int sum(const int *a, int n) { int s = 0; for (int i = 0; i < n; i++) s += a[i] * (i ^ 5); return s; }
double move(point *p, int n) { double t = 0; for (int i = 0; i < n; i++) { p[i].x += table[i % 5]; p[i].n /= 7; t += p[i].x * p[i].y; } return t; }
u64 mix(u64 h) { h ^= h >> 33; h *= 0xff51afd7ed558ccdul; h ^= h >> 29; return h % 1000003 + h / 12345; }
int pick(int n) { switch (n) { case 1: return 10; case 2: return 33; case 3: return 7; case 4: return 91; case 9: return 2; default: return n * 3; } }
static int compare(const char *a, const char *b) { while (*a && *a == *b) a++, b++; return *a - *b; }
void sort(char **v, int n) { for (int i = 1; i < n; i++) for (int j = i; j > 0 && compare(v[j], v[j - 1]) < 0; j--) { char *t = v[j]; v[j] = v[j - 1]; v[j - 1] = t; } }
int ackermann(int m, int n) { return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1)); }
_Complex double twist(_Complex double a, _Complex double b) { return a * b / (a + b); }
__int128 big(__int128 a, long b) { return a / b + (a << (b & 127)); }
