export { provideTimeFactor as default } from '../runner/machine-factor.ts';
