// The tile of assembly/runtime/winograd.ts in C, by the same 128-bit instructions: 4 rows by 8 columns, one pair of k a turn.
// Built and run by bench/runtime.ts: gcc -O3 -mavx2 bench/runtime-peak.c -o build/runtime-peak
#include <emmintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static inline __m128i pair(const int16_t *a) {
  int32_t word;
  memcpy(&word, a, 4);
  return _mm_set1_epi32(word);
}

static inline __m128i dot(__m128i sum, __m128i x, __m128i w) {
  return _mm_add_epi32(sum, _mm_madd_epi16(x, w));
}

// a [rows / 4][k / 2][4][2], panel [k / 2][8][2], out [rows][8]
__attribute__((noinline)) static void multiply(const int16_t *a, const int16_t *panel, int32_t *out, int rows, int k) {
  for (int row = 0; row < rows; row += 4, out += 32) {
    __m128i c[8];
    for (int i = 0; i < 8; i++) c[i] = _mm_setzero_si128();
    const int16_t *b = panel, *end = panel + 8 * k;
    for (; b < end; b += 16, a += 8) {
      const __m128i w0 = _mm_loadu_si128((const __m128i *)b), w1 = _mm_loadu_si128((const __m128i *)(b + 8));
      __m128i x = pair(a);
      c[0] = dot(c[0], x, w0);
      c[1] = dot(c[1], x, w1);
      x = pair(a + 2);
      c[2] = dot(c[2], x, w0);
      c[3] = dot(c[3], x, w1);
      x = pair(a + 4);
      c[4] = dot(c[4], x, w0);
      c[5] = dot(c[5], x, w1);
      x = pair(a + 6);
      c[6] = dot(c[6], x, w0);
      c[7] = dot(c[7], x, w1);
    }
    for (int i = 0; i < 8; i++) _mm_storeu_si128((__m128i *)(out + 4 * i), c[i]);
  }
}

static int compare(const void *a, const void *b) {
  const double d = *(const double *)a - *(const double *)b;
  return d < 0 ? -1 : d > 0;
}

// arguments: rows, k, rounds; prints the median and the best of billions of multiply-adds a second
int main(int count, char **arguments) {
  if (count != 4) return 2;
  const int rows = atoi(arguments[1]), k = atoi(arguments[2]), rounds = atoi(arguments[3]);
  if (rows < 4 || rows > 4096 || k < 2 || k > 65536 || rounds < 1 || rounds > 10000) return 2;
  int16_t *a = aligned_alloc(64, (size_t)rows * k * 2 + 64), *b = aligned_alloc(64, (size_t)k * 16 + 64);
  int32_t *out = aligned_alloc(64, (size_t)rows * 32 + 64);
  double *times = malloc(sizeof(double) * rounds);
  if (!a || !b || !out || !times) return 1;
  for (int i = 0; i < rows * k; i++) a[i] = (int16_t)(i * 7919 % 16384);
  for (int i = 0; i < 8 * k; i++) b[i] = (int16_t)(i * 31 % 145 - 72);
  const int repeats = 1 + 20000000 / (rows * k);
  for (int round = 0; round < rounds; round++) {
    const double start = now();
    for (int i = 0; i < repeats; i++) {
      multiply(a, b, out, rows, k);
      __asm__ volatile("" ::: "memory");
    }
    times[round] = (now() - start) / repeats;
  }
  qsort(times, rounds, sizeof(double), compare);
  const double work = (double)rows * k * 8 / 1e9;
  printf("%.2f %.2f\n", work / times[rounds / 2], work / times[0]);
  return 0;
}
