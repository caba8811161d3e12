import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { licenses } from "./licenses.js";

const source = (name) => fileURLToPath(new URL(`src/${name}`, import.meta.url));
const { collect, write } = licenses();

export default defineConfig({
  // Paths relative to the page, so that a proxy may serve it below another one.
  base: "./",
  plugins: [collect, write],
  worker: { format: "es", plugins: () => [collect] },
  resolve: {
    alias: [
      { find: /^(monaco-graphql\/esm|\.)\/monaco-editor(\.js)?$/, replacement: source("monaco.js") },
      { find: /^prettier\/(plugins\/estree|parser-babel)$/, replacement: source("prettier_json.js") },
      // An older name of the same plugin, which would be bundled once more.
      { find: "prettier/parser-graphql", replacement: "prettier/plugins/graphql" },
    ],
  },
  build: {
    target: "es2022",
    // A file of its own for each icon and font: the page's policy allows no other font.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 2_000,
    rolldownOptions: {
      // "use client" means nothing here.
      onLog: (level, log, handle) => log.code !== "MODULE_LEVEL_DIRECTIVE" && handle(level, log),
    },
  },
  server: {
    proxy: { "/graphql": { target: process.env.INKSTONE_URL ?? "http://127.0.0.1:4000", ws: true } },
  },
});
