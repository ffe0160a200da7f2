import { useEffect, useRef, useState } from 'preact/hooks';
import type { Figure as Drawn } from '../plots.js';

type Plots = typeof import('../plots.js');

export interface FigureProps {
  /** Called again when it changes, or the width does. */
  readonly draw: (plots: Plots, width: number) => Drawn | Promise<Drawn>;
  /** Space that is kept while there is nothing to show, in pixels. */
  readonly height: number;
  /** Drawn when it comes into view, else when there is nothing else to do or the page is printed. */
  readonly lazy?: boolean;
}

/** Figures that are out of view: one at a time is drawn when the page is idle. */
const waiting = new Set<() => void>();
const whenIdle = globalThis.requestIdleCallback ?? ((work: () => void) => setTimeout(work, 50));
let isIdleAsked = false;

function drawNext(): void {
  if (isIdleAsked || waiting.size === 0) return;
  isIdleAsked = true;
  whenIdle(() => {
    isIdleAsked = false;
    const [first] = waiting;
    first?.();
  });
}

/** A plot as wide as its place. */
export function Figure({ draw, height, lazy = false }: FigureProps) {
  const place = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [seen, setSeen] = useState(!lazy);

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const sizes = new ResizeObserver(([entry]) => entry && setWidth(Math.floor(entry.contentRect.width)));
    sizes.observe(element);
    if (!lazy) return () => sizes.disconnect();
    const show = () => {
      waiting.delete(show);
      setSeen(true);
    };
    const views = new IntersectionObserver(
      (entries) => entries.some(({ isIntersecting }) => isIntersecting) && show(),
      { rootMargin: '200px' },
    );
    views.observe(element);
    waiting.add(show);
    addEventListener('beforeprint', show);
    drawNext();
    return () => {
      sizes.disconnect();
      views.disconnect();
      waiting.delete(show);
      removeEventListener('beforeprint', show);
      drawNext();
    };
  }, [lazy]);

  useEffect(() => {
    // A figure that has no place (on phones, in a row that is open) must not keep others waiting.
    if (!seen || width === 0) return void (seen && drawNext());
    let isOver = false;
    import('../plots.js')
      .then((plots) => draw(plots, width))
      .then((figure) => !isOver && place.current?.replaceChildren(figure))
      // A new file ends what is going on with the one before; other faults are reported where they arise.
      .catch((error) => !isOver && place.current?.replaceChildren(String(error.message)))
      .finally(drawNext);
    return () => {
      isOver = true;
    };
  }, [seen, width, draw]);

  return <div class="figure" ref={place} style={{ minHeight: `${height}px` }} />;
}
