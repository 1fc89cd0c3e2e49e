/**
 * Checks the packages that the images contain against the vulnerability databases of npm and Go.
 *
 *   npm run check:vulnerabilities
 *
 * Exit code 0: every database answered, and nothing is known. 1: a vulnerability is known. 3: a database could not be
 * used, so the result is incomplete; nothing is known from the others.
 */
import { imageTarget, moduleDir, projectDir, runCommand, shippedModules } from './go-modules.ts';
import { describe, evaluateAudit, evaluateGovulncheck, exitCode, type CheckResult } from './vulnerability-reports.ts';

const scanner = 'golang.org/x/vuln/cmd/govulncheck@v1.9.0';

const results: CheckResult[] = [];
const report = (source: string, result: CheckResult): void => {
  results.push(result);
  for (const line of describe(source, result)) console.log(line);
};

const audit = ['audit', '--json', '--omit', 'dev', '--package-lock-only'];
report('npm packages of the worker', evaluateAudit(await runCommand('npm', audit, { cwd: projectDir })));
for (const name of shippedModules) {
  const args = ['run', scanner, '-C', moduleDir(name), '-format', 'json', './...'];
  const result = await runCommand('go', args, { cwd: projectDir, env: { ...process.env, ...imageTarget } });
  report(`Go modules of images/${name}`, evaluateGovulncheck(result));
}
process.exitCode = exitCode(results);
