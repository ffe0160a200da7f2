#!/usr/bin/env node
// @ts-check
// Publishes the checked-out commit to npm with provenance, after refusing what must not be published.
//
//   node scripts/release.js --dry-run     anywhere: every check that does not need the runner, then what would be packed
//   node scripts/release.js               on GitHub Actions, for a tag (.github/workflows/release.yml)
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fail, npm, root, run } from './lib/project.js';

const dry = process.argv.includes('--dry-run');
const strange = process.argv.slice(2).filter((flag) => flag !== '--dry-run');
if (strange.length > 0) {
  process.stderr.write(`release: unknown option ${strange[0]}; usage: node scripts/release.js [--dry-run]\n`);
  process.exit(2);
}

const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const changelog = readFileSync(path.join(root, 'CHANGELOG.md'), 'utf8');
/** @param {string[]} args */
const git = async (...args) => (await run('git', args)).stdout.trim();

const heading = changelog.split('\n').find((line) => line.startsWith(`## ${manifest.version}`));
const tags = (await git('tag', '--points-at', 'HEAD')).split('\n');
/** @type {[boolean, string][]} */
const checks = [
  [(await git('status', '--porcelain')) === '', 'the working tree has changes that are not committed'],
  [heading !== undefined, `CHANGELOG.md has no section "## ${manifest.version}"`],
  [
    !heading?.includes('unreleased'),
    `CHANGELOG.md says that ${manifest.version} is unreleased: write the date`,
  ],
  [tags.includes(`v${manifest.version}`), `this commit has no tag v${manifest.version}`],
  // npm compares the address with the one that the runner signs.
  [
    typeof manifest.repository?.url === 'string',
    'package.json has no repository.url, which provenance needs',
  ],
];
const faults = checks.filter(([good]) => !good).map(([, fault]) => fault);
if (!dry && !process.env.ACTIONS_ID_TOKEN_REQUEST_URL) {
  faults.push(
    'provenance is signed by the runner: push the tag, and .github/workflows/release.yml publishes it',
  );
}
for (const fault of faults) process.stderr.write(`release: ${fault}\n`);
if (faults.length > 0) fail('release: nothing was published');

const args = ['publish', '--access', 'public', ...(dry ? ['--dry-run'] : ['--provenance'])];
const { status, output } = await npm(args, { timeout: 600_000 });
process.stdout.write(output);
if (status !== 0) fail('release: npm publish failed');
