import { spawn } from 'node:child_process';
import { buildMachineCommand } from '../../lab/machine/machine.ts';
import { waitFor } from '../../lab/process.ts';
import { timeLimits } from './time-limits.ts';

/** UDP port of each overlay. */
export const overlayPorts = { canal: 8472, cilium: 8473 } as const;

/** A capture of the packets that one node sends over either overlay. */
export interface OverlayCapture {
  /** Returns the capture so far: one line for each outer packet, one for the inner packet. */
  text: () => string;
  /**
   * Stops the capture.
   * @returns all of it.
   */
  stop: () => Promise<string>;
}

/** Starts a capture of the packets that a machine sends over the overlays. Resolves when packets are captured. */
export async function captureOverlays(machineDir: string): Promise<OverlayCapture> {
  const filter = `udp and (dst port ${overlayPorts.canal} or dst port ${overlayPorts.cilium})`;
  // Without "-T vxlan", tcpdump decodes only the packets of the usual port.
  const tcpdump = ['tcpdump', '-nn', '-l', '--immediate-mode', '-T', 'vxlan', '-Q', 'out', '-i', 'eth0', filter];
  // The shell ends tcpdump when its input is closed: it runs in a PID namespace that signals from outside do not reach.
  const script = '"$@" & capture=$!; read -r _; kill -TERM $capture; wait $capture';
  const [file = '', ...args] = await buildMachineCommand(machineDir, ['bash', '-c', script, 'capture', ...tcpdump]);
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let [output, errors] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const ended = new Promise((resolve) => child.once('close', resolve));
  const listening = (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`tcpdump has ended: ${errors}`);
    return Promise.resolve(errors.includes('listening on'));
  };
  await waitFor('tcpdump to listen', listening, { timeoutMs: timeLimits.localChange, pollIntervalMs: 50 });
  return {
    text: () => output,
    stop: async () => {
      child.stdin.end();
      await ended;
      return output;
    },
  };
}

/** A packet to find: from a pod to a port of another pod, in a packet of an overlay to a node. */
export interface OverlayPacket {
  toNodeAddress: string;
  overlay: keyof typeof overlayPorts;
  fromPod: string | undefined;
  toPod: string | undefined;
  toPort: number;
}

/** True when the capture has such a packet. */
export function hasPacket(capture: string, packet: OverlayPacket): boolean {
  const outer = `> ${packet.toNodeAddress}\\.${overlayPorts[packet.overlay]}: .*`;
  return new RegExp(`${outer}\\n.*${packet.fromPod}\\.\\d+ > ${packet.toPod}\\.${packet.toPort}: `).test(capture);
}
