import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A proxy in front of a server, which a test can make silent or close. */
export class TcpProxy {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private isSilent = false;

  private constructor(target: string | undefined) {
    this.server = createServer((client) => {
      this.track(client);
      if (target !== undefined) this.forward(client, target);
    });
  }

  /** @param target address of the server, `host:port`. @default none: connections are accepted and never answered */
  static async start(target?: string): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    return proxy;
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Forwards nothing more, and keeps all connections open, as a server that hangs. */
  silence(): void {
    this.isSilent = true;
  }

  /** Closes all connections and accepts no new ones, as a server that died. */
  async close(): Promise<void> {
    if (!this.server.listening) return;
    const closed = once(this.server, 'close');
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private forward(client: Socket, target: string): void {
    const [host, port] = target.split(':');
    const server = connect({ host, port: Number(port) });
    this.track(server);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on('data', (chunk) => {
        if (!this.isSilent) to.write(chunk);
      });
      from.on('close', () => to.destroy());
    }
  }

  private track(socket: Socket): void {
    this.sockets.add(socket);
    // The end of a connection is all that matters; a reset is one.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.sockets.delete(socket));
  }
}
