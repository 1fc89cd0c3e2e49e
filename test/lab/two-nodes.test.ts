import { SharedLab } from '../support/shared-lab.ts';
import { describeBlackhole } from './two-nodes/blackhole.ts';
import { describeLateNodes } from './two-nodes/late-nodes.ts';
import { describePreflight } from './two-nodes/preflight.ts';
import { describeReboot } from './two-nodes/reboot.ts';

const shared = new SharedLab({ nodes: 2, app: false });
afterAll(() => shared.remove());

// First those that leave the lab as it was.
describePreflight(shared);
describeBlackhole(shared);
describeLateNodes(shared);
describeReboot(shared);
