// Ends with 0 when the address answers 200, for containers without curl. usage: node healthcheck.mjs URL
const [url] = process.argv.slice(2);
const ok = await fetch(url, { signal: AbortSignal.timeout(4_000) }).then(
  (response) => response.ok,
  () => false
);
process.exit(ok ? 0 : 1);
