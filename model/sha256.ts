/** Length of a block of SHA-256, in bytes. */
const blockBytes = 64;

/** First 32 bits of the fractional parts of the roots of the first 64 primes: cube roots, and square roots of eight. */
const [roundConstants, initialState] = computeConstants();

/**
 * Returns the SHA-256 digest of a text in UTF-8, as hexadecimal digits (FIPS 180-4). For workflows, whose sandbox has no
 * cryptography.
 */
export function sha256(text: string): string {
  const state = Uint32Array.from(initialState);
  const message = pad(encodeUtf8(text));
  for (let start = 0; start < message.length; start += blockBytes) addBlock(state, message, start);
  return Array.from(state, (word) => word.toString(16).padStart(8, '0')).join('');
}

function addBlock(state: Uint32Array, message: readonly number[], start: number): void {
  const words = new Uint32Array(64);
  for (let i = 0; i < 16; i++) {
    const [a = 0, b = 0, c = 0, d = 0] = message.slice(start + 4 * i, start + 4 * i + 4);
    words[i] = (a << 24) | (b << 16) | (c << 8) | d;
  }
  const word = (i: number): number => words[i] ?? 0;
  for (let i = 16; i < 64; i++) {
    const [before15, before2] = [word(i - 15), word(i - 2)];
    const small0 = rotate(before15, 7) ^ rotate(before15, 18) ^ (before15 >>> 3);
    const small1 = rotate(before2, 17) ^ rotate(before2, 19) ^ (before2 >>> 10);
    words[i] = word(i - 16) + small0 + word(i - 7) + small1;
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (let i = 0; i < 64; i++) {
    const choice = (e & f) ^ (~e & g);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    const first = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + choice + (roundConstants[i] ?? 0) + word(i);
    const second = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + majority;
    [a, b, c, d, e, f, g, h] = [(first + second) | 0, a, b, c, (d + first) | 0, e, f, g];
  }
  for (const [i, value] of [a, b, c, d, e, f, g, h].entries()) state[i] = (state[i] ?? 0) + value;
}

function rotate(value: number, bits: number): number {
  return (value >>> bits) | (value << (32 - bits));
}

/** Appends a one bit, zeros, and the length in bits. */
function pad(bytes: number[]): number[] {
  const padded = [...bytes, 0x80];
  while (padded.length % blockBytes !== blockBytes - 8) padded.push(0);
  const bits = bytes.length * 8;
  for (let shift = 56; shift >= 0; shift -= 8) padded.push(Math.floor(bits / 2 ** shift) % 256);
  return padded;
}

function encodeUtf8(text: string): number[] {
  return Array.from(encodeURIComponent(text).matchAll(/%(..)|./gs), ([character, hex]) =>
    hex === undefined ? character.charCodeAt(0) : Number.parseInt(hex, 16)
  );
}

function computeConstants(): [number[], number[]] {
  const primes: number[] = [];
  for (let candidate = 2; primes.length < 64; candidate++) {
    if (primes.every((prime) => candidate % prime !== 0)) primes.push(candidate);
  }
  const fraction = (root: number): number => Math.floor((root - Math.floor(root)) * 2 ** 32);
  return [
    primes.map((prime) => fraction(Math.cbrt(prime))),
    primes.slice(0, 8).map((prime) => fraction(Math.sqrt(prime))),
  ];
}
