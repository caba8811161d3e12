// Monaco's workers share one file, which finds out by its name what it is to be.

import MonacoWorker from "./monaco.worker.js?worker";

globalThis.MonacoEnvironment = {
  getWorker: (_, label) => new MonacoWorker({ name: label }),
};
