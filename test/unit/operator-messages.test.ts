import * as client from '../../client/index.ts';
import { fleetMessageNames } from '../../model/fleet-messages.ts';
import { messageNames } from '../../model/message-schemas.ts';

const constants = client as unknown as Record<string, { type?: string; name?: string } | undefined>;

const capitalized = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);

it.each(messageNames)('has constants for the message %s', (name) => {
  expect(constants[`${name}Signal`]).toMatchObject({ type: 'signal', name });
  expect(constants[`${name}Update`]).toMatchObject({ type: 'update', name });
  expect(typeof client.Migration.prototype[name]).toBe('function');
});

it.each(fleetMessageNames)('has constants for the message %s to a fleet', (name) => {
  expect(constants[`fleet${capitalized(name)}Signal`]).toMatchObject({ type: 'signal', name });
  expect(constants[`fleet${capitalized(name)}Update`]).toMatchObject({ type: 'update', name });
  expect(typeof client.Fleet.prototype[name]).toBe('function');
});
