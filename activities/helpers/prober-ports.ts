/** Name and pod label of the probers in the pod network, and name of their service. */
export const prober = 'prober';

/** The same for pods that only answer, to the prober of their node. */
export const proberPeer = 'prober-peer';

/** The same for those on the host's network. */
export const hostProber = 'prober-host';

/** Port of the probers for HTTP and UDP; images/prober/serve.go. */
export const proberPort = 8080;

/** Ports for lines: for everybody, for probers alone, and behind a service, a node port and a host port; images/prober/paths.go. */
export const linePort = 8081;
export const allowedPort = 8082;
export const servicePort = 8084;
export const nodePortPort = 8085;
export const hostPortPort = 8086;

/** Ports on the nodes themselves, below those of NodePort services: probers on the host's network, and a host port. */
export const hostProberPort = 29_870;
export const hostPort = 29_872;
