// Writes assets/licenses.txt: the licence of each package that has code or styles in the bundle.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const PACKAGE = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//;
const NOTICE = /^(licen[cs]e|copying|notice|thirdpartynotices)([-.].*)?$/i;

/** One for the page and all of its workers. */
export function licenses() {
  const folders = new Set();
  const collect = {
    name: "inkstone:collect-licenses",
    moduleParsed: ({ id }) => {
      const folder = PACKAGE.exec(id.split("?")[0])?.[1];
      if (folder) folders.add(folder);
    },
  };
  const write = {
    name: "inkstone:write-licenses",
    generateBundle() {
      const packages = [...folders].map(describe).sort((a, b) => (a.title < b.title ? -1 : 1));
      for (const lacking of packages.filter((one) => !one.text)) lacking.text = textFromSibling(lacking, packages);
      const source = packages.map(({ title, text }) => `${title}\n${"=".repeat(title.length)}\n\n${text}\n`).join("\n\n");
      this.emitFile({ type: "asset", fileName: "assets/licenses.txt", source: `${HEADING}\n\n${source}` });
    },
  };
  return { collect, write };
}

const HEADING = "The explorer is built from these packages. Inkstone itself is MIT OR Apache-2.0.";

function describe(folder) {
  const { name, version, license, author, repository } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const notices = readdirSync(folder).filter((file) => NOTICE.test(file)).sort();
  const texts = notices.map((file) => readFileSync(join(folder, file), "utf8").replaceAll("\r\n", "\n").trim());
  if (!license && texts.length === 0) throw new Error(`${name} does not say how it is licensed: ${folder}`);
  const source = (repository?.url ?? repository ?? "").replace(/^git\+|\.git$/g, "");
  const writer = author?.name ?? author;
  return { title: `${name} ${version} (${license ?? "see below"})`, text: texts.join("\n\n"), license, source, writer };
}

/** Some packages leave out the licence file of the repository that they come from. */
function textFromSibling({ title, license, source, writer }, packages) {
  const sibling = packages.find((one) => one.text && source && one.source === source && one.license === license);
  if (sibling) return sibling.text;
  if (license !== "MIT") throw new Error(`no licence text comes with ${title}: put it into licenses.js`);
  return `Copyright (c) ${writer ?? "its contributors"} (${source})\n\n${MIT}`;
}

const MIT = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`;
