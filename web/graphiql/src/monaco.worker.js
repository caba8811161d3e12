// One of the editor's workers: `json`, `graphql`, or the one that every editor needs. What arrives
// before its code is there waits.

const CODE = {
  json: () => import("monaco-editor/esm/vs/language/json/json.worker.js"),
  graphql: () => import("monaco-graphql/esm/graphql.worker.js"),
};

const waiting = [];
globalThis.onmessage = (event) => waiting.push(event);

const load = CODE[globalThis.name] ?? (() => import("monaco-editor/esm/vs/editor/editor.worker.js"));
load().then(() => {
  for (const event of waiting) globalThis.onmessage(event);
});
