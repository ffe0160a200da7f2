// The kernels and what bench/kernels.ts measures them against. Not shipped.

export * from './index';

/** Sum of floats, as fast as memory gives them: eight independent chains of additions. `count` is a multiple of 32. */
export function sum(weights: usize, count: usize): f32 {
  let a = f32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  for (const end = weights + (count << 2); weights < end; weights += 128) {
    a = f32x4.add(a, v128.load(weights));
    b = f32x4.add(b, v128.load(weights, 16));
    c = f32x4.add(c, v128.load(weights, 32));
    d = f32x4.add(d, v128.load(weights, 48));
    e = f32x4.add(e, v128.load(weights, 64));
    f = f32x4.add(f, v128.load(weights, 80));
    g = f32x4.add(g, v128.load(weights, 96));
    h = f32x4.add(h, v128.load(weights, 112));
  }
  a = f32x4.add(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)), f32x4.add(f32x4.add(e, f), f32x4.add(g, h)));
  return f32x4.extract_lane(a, 0) + f32x4.extract_lane(a, 1) + f32x4.extract_lane(a, 2) + f32x4.extract_lane(a, 3);
}

/** The same, its four quarters at once: see streamDistance in lanes.ts. `count` is a multiple of 32. */
export function sumStreams(weights: usize, count: usize): f32 {
  const far = count & ~3;
  let a = f32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  for (const end = weights + far; weights < end; weights += 32) {
    const q = weights + far;
    const r = q + far;
    const s = r + far;
    a = f32x4.add(a, v128.load(weights));
    b = f32x4.add(b, v128.load(weights, 16));
    c = f32x4.add(c, v128.load(q));
    d = f32x4.add(d, v128.load(q, 16));
    e = f32x4.add(e, v128.load(r));
    f = f32x4.add(f, v128.load(r, 16));
    g = f32x4.add(g, v128.load(s));
    h = f32x4.add(h, v128.load(s, 16));
  }
  a = f32x4.add(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)), f32x4.add(f32x4.add(e, f), f32x4.add(g, h)));
  return f32x4.extract_lane(a, 0) + f32x4.extract_lane(a, 1) + f32x4.extract_lane(a, 2) + f32x4.extract_lane(a, 3);
}
