import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { Html, html, visible } from './html.js';

/** Widths that figures are drawn for: what does not fit a phone is drawn a second time. */
export const WIDE = 920;
export const NARROW = 342;

/** Makes figures: one document for a page. */
export class Studio {
  readonly #document = parseHTML('<!doctype html><html><body></body></html>').document;

  /** A plot as an element, to ask for its scales. */
  plot(options: Plot.PlotOptions): (SVGSVGElement | HTMLElement) & Plot.Plot {
    return Plot.plot({
      ...options,
      className: 'plot',
      document: this.#document as unknown as Document,
      style: { fontSize: '12px', ...(options.style as object) },
    });
  }

  /**
   * A plot as markup. The library's style sheet goes: the page has its own. So do the labels of groups inside: the figure is
   * one picture, which `label` describes.
   */
  draw(label: string, options: Plot.PlotOptions): Html {
    const figure = this.plot(options);
    for (const style of [...figure.querySelectorAll('style')]) style.remove();
    for (const group of [...figure.querySelectorAll('g[aria-label]')]) {
      group.setAttribute('data-mark', group.getAttribute('aria-label') ?? '');
      group.removeAttribute('aria-label');
      group.removeAttribute('aria-hidden');
    }
    for (const name of ['font-family', 'font-size', 'style']) figure.removeAttribute(name);
    figure.setAttribute('role', 'img');
    figure.setAttribute('aria-label', label);
    return new Html(visible(figure.outerHTML));
  }

  /** A figure for wide windows and paper, and one for phones. */
  both(label: string, options: (width: number, isNarrow: boolean) => Plot.PlotOptions): Html {
    const [wide, narrow] = [WIDE, NARROW].map((width) =>
      this.draw(label, { width, ...options(width, width === NARROW) }),
    );
    return html`<div class="wide">${wide}</div><div class="narrow">${narrow}</div>`;
  }
}

/** Room for names at the left of a figure, in pixels. */
export function roomFor(names: readonly string[], most: number): number {
  const longest = names.reduce((length, name) => Math.max(length, [...name].length), 0);
  return Math.min(most, Math.ceil(7.7 * longest) + 14);
}
