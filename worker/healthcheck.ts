/** Exits with code 0 when a URL answers with success, for containers without curl: `node healthcheck.ts URL`. */
const [url = ''] = process.argv.slice(2);
const answered = await fetch(url, { signal: AbortSignal.timeout(4_000) }).then(
  (response) => response.ok,
  () => false
);
process.exit(answered ? 0 : 1);
