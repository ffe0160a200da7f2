import { useEffect, useRef, useState } from 'preact/hooks';
import type { Figure as Drawn } from '../plots.js';

type Plots = typeof import('../plots.js');

export interface FigureProps {
  /** Called again when it changes, or the width does. */
  readonly draw: (plots: Plots, width: number) => Drawn | Promise<Drawn>;
  /** Space that is kept while there is nothing to show, in pixels. */
  readonly height: number;
  /** Drawn only when it comes into view. */
  readonly lazy?: boolean;
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
    const views = new IntersectionObserver(
      (entries) => entries.some(({ isIntersecting }) => isIntersecting) && setSeen(true),
      { rootMargin: '200px' },
    );
    if (lazy) views.observe(element);
    return () => {
      sizes.disconnect();
      views.disconnect();
    };
  }, [lazy]);

  useEffect(() => {
    if (!seen || width === 0) return;
    let isOver = false;
    import('../plots.js')
      .then((plots) => draw(plots, width))
      .then((figure) => !isOver && place.current?.replaceChildren(figure))
      // A new file ends what is going on with the one before; other faults are reported where they arise.
      .catch((error) => !isOver && place.current?.replaceChildren(String(error.message)));
    return () => {
      isOver = true;
    };
  }, [seen, width, draw]);

  return <div class="figure" ref={place} style={{ minHeight: `${height}px` }} />;
}
