// Products of two values by an equation, as BATCH_MATMUL: letters of both that stay are its batch.
import type { Builder } from '../export/builder.js';
import type { Val } from '../export/values.js';
import { sizeOf } from '../shape.js';

/** @param equation `left,right->out`, a letter an axis, none twice in one of them */
export function einsum(g: Builder, equation: string, x: Val, y: Val): Val {
  const [inputs, out] = equation.split('->') as [string, string];
  const [left, right] = inputs.split(',') as [string, string];
  const lengths = new Map<string, number>();
  [left, right].forEach((letters, i) => {
    for (const [at, letter] of [...letters].entries())
      lengths.set(letter, ((i === 0 ? x : y).shape[at] as number) ?? 1);
  });
  const sizes = (letters: readonly string[]) => letters.map((letter) => lengths.get(letter) as number);
  // What stands in one of them alone and does not stay is summed first.
  const reduced = (val: Val, letters: string, other: string): [Val, string] => {
    const gone = [...letters].flatMap((letter, i) =>
      other.includes(letter) || out.includes(letter) ? [] : [i],
    );
    const rest = [...letters].filter((_, i) => !gone.includes(i)).join('');
    return [gone.length > 0 ? g.reduce('ReduceSum', val, gone, false) : val, rest];
  };
  const [a, as] = reduced(x, left, right);
  const [b, bs] = reduced(y, right, left);
  const shared = [...as].filter((letter) => bs.includes(letter));
  const batch = [...out].filter((letter) => shared.includes(letter));
  const summed = shared.filter((letter) => !out.includes(letter));
  const rows = [...out].filter((letter) => as.includes(letter) && !bs.includes(letter));
  const columns = [...out].filter((letter) => bs.includes(letter) && !as.includes(letter));
  const turned = (val: Val, letters: string, order: readonly (readonly string[])[]) => {
    const perm = order.flat().map((letter) => letters.indexOf(letter));
    const shape = order.map((list) => sizeOf(sizes(list)));
    return g.reshape(g.transpose(val, perm), shape);
  };
  const product = g.matmul(turned(a, as, [batch, rows, summed]), turned(b, bs, [batch, summed, columns]));
  const made = [...batch, ...rows, ...columns];
  const whole = g.reshape(product, sizes(made));
  return g.transpose(
    whole,
    [...out].map((letter) => made.indexOf(letter)),
  );
}
