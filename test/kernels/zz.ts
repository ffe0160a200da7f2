import { loadKernels } from '/work/main/src/kernels/index.ts';
const k = await loadKernels();
const med = (a: number[]) => a.sort((p, q) => p - q)[a.length >> 1]!;
const K = 8192, N = 8192, n = K * N; const w = new Float32Array(n); for (let i = 0; i < n; i++) w[i] = Math.sin(i * 1.7) * .1 + .01;
const ch = { outer: K, channels: N, inner: 1, groupRows: K };
const dst = new Float32Array(n).fill(1), out = new Uint8Array(n / 2).fill(1); const inv = k.absMax(w, ch).map((x) => 7 / x); const src = new Uint8Array(n/2).fill(3);
const fs: Record<string, () => unknown> = {
  set: () => dst.set(w), absMax: () => k.absMax(w, ch), pack: () => k.packInt4(w, inv, ch), packInto: () => k.packInt4Into(w, inv, ch, out), alloc: () => new Uint8Array(n / 2), allocSet: () => new Uint8Array(n / 2).set(src), full: () => k.packInt4WithAbsMax(w, ch),
};
const t: Record<string, number[]> = {};
for (let r = 0; r < 9; r++) for (const [name, f] of Object.entries(fs)) { const s = performance.now(); f(); (t[name] ??= []).push(performance.now() - s); }
for (const name in fs) console.log('  ', name.padEnd(12), med(t[name]!).toFixed(3));
