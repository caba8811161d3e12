// Prettier's JSON with comments, in the place of its Babel parser, which is larger than the rest of
// the explorer without the editor.

import { applyEdits, format } from "jsonc-parser";

const options = { insertSpaces: true, tabSize: 2, eol: "\n" };

export const parsers = {
  jsonc: {
    parse: (text) => ({ type: "jsonc", text }),
    astFormat: "jsonc",
    locStart: () => 0,
    locEnd: (node) => node.text.length,
  },
};

export const printers = {
  jsonc: {
    print: ({ node }) => applyEdits(node.text, format(node.text, undefined, options)),
  },
};
