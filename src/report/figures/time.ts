import * as Plot from '@observablehq/plot';
import type { Report } from '../../pipeline/report/types.js';
import type { Studio } from '../figure.js';
import type { Html } from '../html.js';

const secondsText = (seconds: number) =>
  seconds < 9.95 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;

/** Seconds by part. */
export function timeFigure(studio: Studio, { seconds }: Report): Html {
  const total = seconds.reduce((sum, part) => sum + part.seconds, 0);
  const most = Math.max(...seconds.map((part) => part.seconds));
  return studio.both(
    `Time by part, ${secondsText(total)} in all: ${seconds.map((own) => `${own.part} ${secondsText(own.seconds)}`).join(', ')}`,
    (_, isNarrow) => ({
      height: 8 + 26 * seconds.length,
      ...{ marginLeft: 178, marginRight: 50, marginTop: 2, marginBottom: 6 },
      x: { axis: null, domain: [0, most] },
      y: { domain: seconds.map(({ part }) => part), label: null, tickSize: 0, padding: 0.35 },
      marks: [
        Plot.barX(seconds, { x: 'seconds', y: 'part', fill: 'var(--bar)' }),
        Plot.text(seconds, {
          ...{ x: 'seconds', y: 'part', dx: isNarrow ? 4 : 6, textAnchor: 'start' },
          text: (own: (typeof seconds)[number]) => secondsText(own.seconds),
        }),
      ],
    }),
  );
}
