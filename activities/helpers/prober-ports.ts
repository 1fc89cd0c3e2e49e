/** Name and pod label of the probers in the pod network, and name of their service. */
export const prober = 'prober';

/** Name and pod label of the pods that only answer the prober of their node. */
export const proberPeer = 'prober-peer';

/** Name and pod label of the probers on the host network. */
export const hostProber = 'prober-host';

/** Port of the probers for HTTP and UDP; images/prober/serve.go. */
export const proberPort = 8080;

/**
 * Ports of the probed lines: open to all, open to probers only, and behind a service, a node port and a host port;
 * images/prober/paths.go.
 */
export const linePort = 8081;
export const allowedPort = 8082;
export const servicePort = 8084;
export const nodePortPort = 8085;
export const hostPortPort = 8086;

/**
 * Ports on the nodes themselves, below the range of NodePort services: probers on the host network, and a host port.
 */
export const hostProberPort = 29_870;
export const hostPort = 29_872;
