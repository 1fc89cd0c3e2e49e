/** Control characters except line ends and tabs, and the characters that change the direction of text. */
const controls = /(?![\n\t])\p{Cc}|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Replaces control characters, with which a text could change what a terminal or a page shows around it. */
export function withoutControls(text: string): string {
  return text.replaceAll(controls, '\ufffd');
}
