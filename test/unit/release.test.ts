import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import { parseInput } from '../../model/input.ts';
import { projectDir } from '../../lab/paths.ts';
import { helmVersionProblem } from '../../worker/startup-check.ts';

const read = (file: string): Promise<string> => readFile(path.join(projectDir, file), 'utf8');

interface Service {
  image: string;
  build?: { args: Record<string, string> };
  pull_policy?: string;
}
const services = async (): Promise<Record<string, Service>> =>
  (parse(await read('docker-compose.yml'), { merge: true }) as { services: Record<string, Service> }).services;

/** Returns the version of a module in a go.mod. */
const pinned = async (folder: string, module: string): Promise<string | undefined> =>
  new RegExp(`^\\t${module} v(\\S+)`, 'm').exec(await read(`${folder}/go.mod`))?.[1];

describe('images', () => {
  it('of the worker is built, and pulled from nowhere', async () => {
    const { worker, 'codec-server': codecServer } = await services();

    expect(worker).toMatchObject({ pull_policy: 'build', build: { context: '.' } });
    expect(codecServer).toMatchObject({ pull_policy: 'never', image: worker?.image });
    expect(worker?.image).toMatch(/^localhost\//);
  });

  it('of the helpers have defaults under which nobody can publish', () => {
    const parsed = parseInput({ cluster: 'prod' });

    expect(parsed).toMatchObject({
      input: {
        proberImage: expect.stringMatching(/^localhost\//) as string,
        coexistenceImage: expect.stringMatching(/^localhost\//) as string,
      },
    });
  });

  it('can all be pinned in .env, which names each at the version of the Compose file', async () => {
    const example = await read('.env.example');
    const { worker, ...others } = await services();

    const texts = [...Object.values(others).map(({ image }) => image), ...Object.values(worker?.build?.args ?? {})];
    const defaults = texts.flatMap((text) => [...text.matchAll(/^\$\{(\w+_IMAGE):-(.*)\}$/g)]);

    expect(defaults.length).toBeGreaterThan(6);
    for (const [, variable, image] of defaults) expect(example).toContain(`#${variable}=${image}@sha256:DIGEST\n`);
  });
});

describe('versions', () => {
  it('of Temporal have the security fixes of 1.32, and the minor version that the tests run', async () => {
    const images = Object.values(await services()).map(({ image }) => image);
    const versions = images.flatMap((image) => /temporalio\/(?:server|admin-tools):([\d.]+)/.exec(image)?.[1] ?? []);
    const tested = await pinned('lab/tools/go/temporal-server', 'go.temporal.io/server');

    expect(new Set(versions)).toEqual(new Set(['1.32.2']));
    expect(tested?.split('.').slice(0, 2)).toEqual(['1', '32']);
  });

  it("of Helm in the worker's image is the one that the tests run", async () => {
    const tested = await pinned('lab/tools/go/helm', 'helm.sh/helm/v4');

    expect(await read('Dockerfile')).toContain(`ARG HELM_IMAGE=alpine/helm:${tested}\n`);
    expect(helmVersionProblem(`v${tested}`)).toBeUndefined();
  });

  it("of the worker image's arguments are those of its Dockerfile", async () => {
    const { worker } = await services();
    const dockerfile = await read('Dockerfile');

    for (const [name, text] of Object.entries(worker?.build?.args ?? {})) {
      expect(dockerfile).toContain(`ARG ${name}=${/:-(.*)\}$/.exec(text)?.[1]}\n`);
    }
  });

  it.each(['v3.17.3', 'v3.18.0', 'v3.20.1+g1', 'v4.1.4', 'v4.2.4', 'v4.2', 'v5.0.0'])('accepts Helm %s', (version) => {
    expect(helmVersionProblem(version)).toBeUndefined();
  });

  it.each(['v2.17.0', 'v3.14.0', 'v3.17.2', 'v3.17.3-rc.1', 'v4.0.0', 'v4.1.3', 'v4.1.4-rc.1', 'v4.1', 'v3.17'])(
    'refuses Helm %s, which has known vulnerabilities',
    (version) => {
      expect(helmVersionProblem(version)).toMatch(/is too old; install Helm 4\.1\.4 or newer/);
    }
  );

  it('refuses a Helm that does not report its version', () => {
    expect(helmVersionProblem('')).toMatch(/cannot read the version of Helm/);
  });
});

it('states that no licence has been chosen', async () => {
  expect(JSON.parse(await read('package.json'))).toMatchObject({ license: 'UNLICENSED' });
  expect(await read('README.md')).toContain('No licence has been chosen yet');
});

it('has a security policy with the actors of the threat model, and says that no address for reports exists', async () => {
  const policy = await read('SECURITY.md');

  expect(policy.match(/^### /gm)).toHaveLength(6);
  expect(policy).toContain('No address for reports is published yet');
});
