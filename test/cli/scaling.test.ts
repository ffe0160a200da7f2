// What is typed of the inputs' factor, and what is said of the one that was found out.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { scalingOf } from '../../src/cli/scaling.js';
import { throwsCode } from '../formats/damage.js';
import { smallModel } from '../pipeline/support.js';

/** A convolution behind a Rescaling. */
const behind = (scale: number, offset: number) =>
  smallModel(
    [
      { className: 'InputLayer', config: { name: 'x', batch_shape: [null, 4, 4, 3] } },
      { className: 'Rescaling', config: { name: 'r', scale, offset }, calls: [['x']] },
      {
        ...{ className: 'Conv2D', calls: [['r']], weights: { kernel: [1, 1, 3, 2], bias: [2] } },
        config: { name: 'c', filters: 2, kernel_size: [1, 1], padding: 'valid' },
      },
    ],
    ['c'],
  );
const bytes = () => ({ name: 'x.npz', dtype: 'uint8' as const, range: [0, 255] as const });

test('the factor is found out and said with its reason; a typed one settles it', () => {
  const unit = scalingOf({}, behind(2, -1), bytes);
  assert.is(unit.preprocess.scale, 1 / 255);
  assert.match(
    unit.preprocessing,
    /^inputs x 1\/255 \(by default\), since r \(Rescaling\) makes -1 to 1 of 0 to 1/,
  );
  const own = scalingOf({ mean: '0.5' }, behind(1 / 255, 0), bytes);
  assert.is(own.preprocess.scale, 1);
  assert.match(own.preprocessing, /^inputs x 1 \(by default\), since .* - 0\.5$/);
  throwsCode(
    () => scalingOf({}, behind(0.5, 0), bytes),
    'data-mismatch',
    '--scale 1 where they are to be 0 to 255',
  );
  const typed = scalingOf({ scale: '1/255' }, behind(0.5, 0), bytes);
  assert.is(typed.preprocessing, 'inputs x 1/255');
  // Nothing is read where no factor is taken by default.
  assert.is(scalingOf({}, behind(0.5, 0), undefined).preprocess.scale, 1);
});

test.run();
