import { timeLimits } from '../support/time-limits.ts';

jest.setTimeout(timeLimits.shortTest);
