import { removeAbandonedLabs } from '../../lab/cluster/lab.ts';

// Labs of a suite that was killed: their processes would disturb the next suite.
await removeAbandonedLabs(console.log);
