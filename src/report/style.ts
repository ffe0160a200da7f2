const LIGHT = `
  --paper: #faf9f5; --card: #ffffff; --ink: #1b1b1f; --muted: #5d5e66; --line: #e2dfd6; --axis: #83858e;
  --grid: #eceae3; --track: #f1efe8; --bar: #a7b2c4; --accent: #2f6db3; --warn: #8a4b00;
  --float: #1b1b1f; --int4: #0072b2; --int2: #b0578a; --binary: #b94f00; --mixed: #00805d;
  --heat: #1d4f91; --better: #0072b2; --worse: #b94f00; --on-heat: #ffffff; --on-scheme: #ffffff;`;

const DARK = `
  --paper: #131417; --card: #1b1d21; --ink: #ececea; --muted: #a5a7af; --line: #30333a; --axis: #858893;
  --grid: #292c32; --track: #26292f; --bar: #54617a; --accent: #6aa9ec; --warn: #f0b45c;
  --float: #ececea; --int4: #56b4e9; --int2: #e08dbb; --binary: #f08c3a; --mixed: #35c394;
  --heat: #86bdf5; --better: #56b4e9; --worse: #f08c3a; --on-heat: #101114; --on-scheme: #101114;`;

/**
 * Colours after Okabe and Ito 2008, told apart with any colour vision; darker on paper and lighter on black, so that text in
 * them and on them has a contrast of at least 3 and 4.5.
 */
export const STYLE = `
:root { color-scheme: light dark; ${LIGHT} }
@media screen and (prefers-color-scheme: dark) { :root { ${DARK} } }
*, *::before, *::after { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 400 1rem/1.55 system-ui, -apple-system, "Segoe UI", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
main { max-width: 64rem; margin: 0 auto; padding: clamp(1.5rem, 4vw, 3rem) clamp(1rem, 3vw, 1.75rem) 4rem; }
h1, h2, h3, p, dl, dd, ul, figure { margin: 0; padding: 0; }
h1 { font-size: clamp(1.6rem, 1.2rem + 1.8vw, 2.3rem); font-weight: 650; letter-spacing: -.025em; line-height: 1.15; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; font-weight: 650; letter-spacing: -.015em; line-height: 1.25; }
h3 { font-size: .95rem; font-weight: 600; overflow-wrap: anywhere; }
.kicker { color: var(--muted); font-size: .875rem; margin-bottom: .5rem; }
.summary { font-size: 1.125rem; line-height: 1.5; margin-top: .9rem; max-width: 46rem; text-wrap: pretty; }
.part { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: clamp(1rem, 2.5vw, 1.6rem); margin-top: 1.25rem; }
.part > p, .part > ul { max-width: 46rem; }
.part > h2 + p { margin-top: .35rem; color: var(--muted); }
.part > * + .wide, .part > * + .narrow, .part > * + .matrices, .part > * + .long, .part > * + details, .part > * + .scroll, .part > h3 { margin-top: 1.1rem; }
.muted { color: var(--muted); font-weight: 400; }
.small { font-size: .875rem; }
.left { margin-top: 1rem; padding-left: 1.1rem; color: var(--warn); font-size: .9375rem; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin-top: 1.4rem; }
.explained { margin-top: .75rem; }
.numbers > div { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: .8rem 1rem; }
.numbers dt { color: var(--muted); font-size: .8125rem; line-height: 1.35; }
.numbers dd { font-size: 1.5rem; font-weight: 600; letter-spacing: -.02em; line-height: 1.3; }
.numbers dd small { display: block; font-size: .8125rem; font-weight: 400; letter-spacing: 0; color: var(--muted); }
.plot { display: block; width: 100%; max-width: 100%; height: auto; overflow: visible; font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; font-variant-numeric: tabular-nums; }
.plot text { white-space: pre; paint-order: stroke; stroke-linejoin: round; }
.narrow { display: none; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin-top: .8rem; font-size: .875rem; max-width: none !important; }
.legend span { display: inline-flex; align-items: center; gap: .4rem; }
.swatch, .symbol { display: inline-block; width: .75rem; height: .75rem; border-radius: 50%; flex: none; }
.swatch.float { border-radius: 2px; background: var(--float); }
.swatch.int4 { background: var(--int4); } .swatch.int2 { background: var(--int2); }
.swatch.binary { background: var(--binary); } .mixed { background: var(--mixed); }
.symbol.hollow { border: 2px solid var(--axis); } .symbol.filled { background: var(--axis); }
.symbol.diamond { border-radius: 1px; transform: rotate(45deg) scale(.8); }
.symbol.line { height: 0; width: 1.25rem; border-radius: 0; border-top: 2px solid var(--axis); }
.bar { width: 1.25rem; height: .45rem; border-radius: 0; background: var(--accent); }
table { border-collapse: collapse; width: 100%; font-size: .8125rem; line-height: 1.4; }
th, td { padding: .3rem .45rem; text-align: left; vertical-align: baseline; border-bottom: 1px solid var(--line); }
th { font-weight: 500; overflow-wrap: anywhere; } td { overflow-wrap: break-word; }
thead th { color: var(--muted); font-weight: 500; vertical-align: bottom; overflow-wrap: normal; }
tbody th { min-width: 9rem; }
tbody tr:last-child > * { border-bottom: 0; }
.number { text-align: right; white-space: nowrap; } thead .number { white-space: normal; }
.front > * { background: color-mix(in srgb, var(--accent) 9%, transparent); }
.front th { font-weight: 650; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
details { margin-top: 1.1rem; } summary { cursor: pointer; color: var(--muted); font-size: .9375rem; padding: .2rem 0; }
details > .scroll { margin-top: .5rem; }
figcaption { font-size: .8125rem; line-height: 1.4; color: var(--muted); margin-top: .3rem; } figcaption strong { color: var(--ink); font-weight: 600; }
.matrices { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: 1.5rem; }
.matrices .plot { width: auto; max-width: 100%; font-size: 11px; }
.weight { display: grid; grid-template-columns: 9.5rem 1fr; gap: .25rem 1.25rem; margin-top: 1rem; padding-top: .8rem; border-top: 1px solid var(--grid); }
.weight p { line-height: 1.4; }
.histograms { display: grid; grid-template-columns: repeat(3, 1fr); gap: .25rem 1.25rem; min-width: 0; }
.histograms figcaption { margin: 0; text-align: center; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; margin-top: 1rem; font-size: .9375rem; }
.facts dt { color: var(--muted); } .facts dd { overflow-wrap: anywhere; min-width: 0; }
pre, code { font: .875em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
pre { margin: 1rem 0 0; padding: .8rem 1rem; background: var(--track); border-radius: 8px; white-space: pre-wrap; }
footer { margin-top: 2rem; color: var(--muted); font-size: .875rem; }
@media (max-width: 640px) {
  .wide { display: none; } .narrow { display: block; }
  .weight { grid-template-columns: 1fr; } .weight br { display: none; }
  .weight p { word-spacing: .05em; }
  .histograms { grid-template-columns: 1fr; max-width: 22rem; }
  .facts { grid-template-columns: 1fr; gap: 0; } .facts dd { margin-bottom: .5rem; }
  .numbers { grid-template-columns: 1fr 1fr; }
  th, td { padding: .3rem .4rem; }
}
@media print {
  :root { color-scheme: light; ${LIGHT} --paper: #ffffff; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  @page { margin: 14mm; }
  body { font-size: 10pt; background: #ffffff; }
  main { max-width: none; padding: 0; }
  .wide { display: block; } .narrow { display: none; }
  .part { border: 0; border-top: 1px solid var(--line); border-radius: 0; padding: 1rem 0 0; }
  .scroll { overflow: visible; }
  details::details-content { content-visibility: visible; block-size: auto; }
  table { font-size: 7.6pt; } th, td { padding: .18rem .3rem; } tbody th { min-width: 0; }
  .weight { grid-template-columns: 8.5rem 1fr; } .weight br { display: inline; }
  .histograms { grid-template-columns: repeat(3, 1fr); max-width: none; }
  .matrices { grid-template-columns: repeat(2, 1fr); }
  h2, h3, summary { break-after: avoid; page-break-after: avoid; }
  figure, .weight, tr, .numbers, .wide, .legend, pre { break-inside: avoid; page-break-inside: avoid; }
  .long { break-inside: auto; page-break-inside: auto; }
  thead { display: table-header-group; }
}
`;
