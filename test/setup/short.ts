// Some workflow tests take half a minute on a machine that runs four of them at once, on two cores.
jest.setTimeout(120_000);
