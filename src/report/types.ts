import type { Report } from '../pipeline/report/types.js';

/** What is needed to measure a report again. */
export interface Reproduction {
  /** The command as it can be typed into a shell. */
  readonly command: string;
  /** ISO 8601. */
  readonly date: string;
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
  /** How the samples become inputs: `inputs x 1/255 (by default)`. */
  readonly preprocessing: string;
  /** `tensorflow` (native), `wasm` or `bitnibble`: what computed the outputs. */
  readonly backend: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly platform: string;
    readonly memoryBytes: number;
  };
}

/** The document of `report --json`, and all that the page shows. */
export interface ReportDocument extends Report {
  /** The share of accuracy that the first sentence takes for little; 0.01 where it is absent. */
  readonly within?: number;
  readonly reproduce: Reproduction;
}
