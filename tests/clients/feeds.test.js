// Feed readers and crawlers: what a parser that knows nothing of Inkstone reads in its feeds and its
// sitemap is what the API says of the posts.

import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { suite, test } from "node:test";

import { parseFeed } from "feedsmith";
import { ErrorLevel, parseSitemap } from "sitemap";

import { assertFitEachCoding, graphql, mutate, origin, ownerToken, publishPost, unique } from "./support/server.js";

const FORMATS = {
  "feed.xml": { format: "rss", mediaType: "application/rss+xml" },
  "atom.xml": { format: "atom", mediaType: "application/atom+xml" },
  "feed.json": { format: "json", mediaType: "application/feed+json" },
};

// Every format tells a post in its own words; here it is in the same words.
const readers = {
  rss: ({ title, link, description, language, atom, items }) => ({
    title, link, description, language,
    self: atom.links.find(({ rel }) => rel === "self").href,
    items: items.map((item) => ({
      id: item.guid.value, title: item.title, link: item.link, summary: item.description, html: item.content.encoded,
      author: item.dc.creators.join(), tags: (item.categories ?? []).map(({ name }) => name), language: item.dc.languages.join(),
      publishedAt: seconds(item.pubDate), updatedAt: seconds(item.atom.updated),
    })),
  }),
  atom: ({ title, links, subtitle, xml, entries }) => ({
    title: title.value, link: links.find(({ rel }) => rel === "alternate").href, description: subtitle.value, language: xml.lang,
    self: links.find(({ rel }) => rel === "self").href,
    items: entries.map((entry) => ({
      id: entry.id, title: entry.title.value, link: entry.links.find(({ rel }) => rel === "alternate").href,
      summary: entry.summary.value, html: entry.content.value, author: entry.authors.map(({ name }) => name).join(),
      tags: (entry.categories ?? []).map(({ label }) => label), language: entry.xml.lang,
      publishedAt: seconds(entry.published), updatedAt: seconds(entry.updated),
    })),
  }),
  json: ({ title, home_page_url, feed_url, description, language, items }) => ({
    title, link: home_page_url, description, language, self: feed_url,
    items: items.map((item) => ({
      id: item.id, title: item.title, link: item.url, summary: item.summary, html: item.content_html,
      author: item.authors.map(({ name }) => name).join(), tags: item.tags ?? [], language: item.language,
      publishedAt: seconds(item.date_published), updatedAt: seconds(item.date_modified),
    })),
  }),
};

const seconds = (date) => Math.floor(Date.parse(date) / 1000);

/** A feed in the words above. */
async function read(path, file) {
  const answer = await fetch(origin + path + file);
  assert.equal(answer.status, 200, path + file);
  assert.equal(answer.headers.get("content-type").split(";")[0], FORMATS[file].mediaType);
  const { format, feed } = parseFeed(await answer.text());
  assert.equal(format, FORMATS[file].format, "the parser takes it for what it is");
  const told = readers[format](feed);
  assert.equal(told.self, origin + path + file, "a feed says where it is");
  return told;
}

/** The API's newest articles and notes, as a feed should tell them. */
async function newest(filter) {
  const { posts } = await graphql(
    `query ($filter: PostFilterInput!) {
      posts(first: 30, filter: $filter) { nodes { title slug html language publishedAt updatedAt author { name } tags { name } } }
    }`,
    { filter: { kind: ["ARTICLE", "NOTE"], ...filter } },
  );
  return posts.nodes.map((post) => ({
    title: post.title, link: `${origin}/posts/${post.slug}`, author: post.author.name, language: post.language,
    tags: post.tags.map(({ name }) => name), publishedAt: seconds(post.publishedAt), updatedAt: seconds(post.updatedAt),
  }));
}

/** Without what the API does not say in the same words. */
const comparable = ({ id, summary, html, ...item }) => item;

for (const file of Object.keys(FORMATS)) {
  suite(`/${file}`, () => {
    test("of a tag tells what the API tells", async () => {
      for (const tag of ["rust", "small-tools"]) {
        const { items } = await read(`/tags/${tag}/`, file);
        assert.ok(items.length > 0);
        assert.deepEqual(items.map(comparable), await newest({ tag }), tag);
      }
    });

    test("of a language tells its posts only", async () => {
      const told = await read("/zh/", file);
      assert.ok(told.items.length > 0);
      assert.deepEqual(told.items.map(comparable), await newest({ language: "zh" }));
      assert.equal(told.language, "zh");
    });

    test("of the site describes it and has the 30 newest", async () => {
      const { posts } = await graphql("{ posts(first: 1, filter: { kind: [ARTICLE, NOTE] }) { totalCount } }");
      for (let count = posts.totalCount; count < 31; count++) await publishPost();
      const { site } = await graphql("{ site { title description language } }");
      const { title, link, description, language, items } = await read("/", file);
      assert.deepEqual({ title, description, language }, site);
      assert.equal(link, `${origin}/`);
      assert.equal(items.length, 30);
    });

    test("stands any text, and links that lead somewhere", async () => {
      const title = `${unique("Any text")} <b>&amp; "quotes" ]]> 墨 👩🏽‍💻`;
      const markdown = 'A [link](/about#top), a picture ![](cat.png), `]]>` and <script>alert(1)</script> 𠮷.';
      const tag = unique("Marks <&>");
      const post = await publishPost({ title, markdown, tags: [tag] });
      const { node } = await graphql("query ($id: ID!) { node(id: $id) { ... on Post { tags { slug } } } }", { id: post.id });
      const { items } = await read(`/tags/${node.tags[0].slug}/`, file);
      assert.equal(items.length, 1);
      const [item] = items;
      assert.equal(item.title, title);
      assert.deepEqual(item.tags, [tag]);
      assert.match(item.html, new RegExp(`href="${origin}/about#top"`), "a feed reader has no address to begin from");
      assert.match(item.html, new RegExp(`src="${origin}/[^"]*cat.png"`));
      assert.match(item.html, /\]\](>|&gt;)/);
      assert.match(item.html, /𠮷/);
      assert.doesNotMatch(item.html, /<script/);
    });

    test("is 304 to who has it, and another when a post changes", async () => {
      const tag = unique("tag").replaceAll(" ", "-");
      const { id, version } = await publishPost({ tags: [tag] });
      const address = `${origin}/tags/${tag}/${file}`;
      const first = await fetch(address);
      const etag = first.headers.get("etag");
      assert.ok(Date.parse(first.headers.get("last-modified")));
      assert.equal((await fetch(address, { headers: { "if-none-match": etag } })).status, 304);
      const title = unique("Another title");
      await mutate("updatePost", "UpdatePostInput", "post { id }", { id, title, basedOnVersion: version }, await ownerToken());
      const changed = await fetch(address, { headers: { "if-none-match": etag } });
      assert.equal(changed.status, 200);
      assert.match(await changed.text(), new RegExp(title));
    });

    test("has no strong tag that is the same for packed and plain text", async () => {
      const tags = [];
      for (const coding of ["identity", "gzip", "br"]) {
        const answer = await fetch(`${origin}/${file}`, { headers: { "accept-encoding": coding } });
        assert.equal(answer.headers.get("content-encoding") ?? "identity", coding);
        assert.match(answer.headers.get("vary"), /accept-encoding/i);
        tags.push(answer.headers.get("etag"));
      }
      assertFitEachCoding(tags);
    });

    test("of no tag and no language is 404", async () => {
      for (const path of ["/tags/no-such-tag/", "/tlh/"]) {
        assert.equal((await fetch(origin + path + file)).status, 404, path);
      }
    });
  });
}

suite("/sitemap.xml", () => {
  const crawl = async () => {
    const answer = await fetch(`${origin}/sitemap.xml`);
    assert.match(answer.headers.get("content-type"), /^(application|text)\/xml/);
    return parseSitemap(Readable.fromWeb(answer.body), { level: ErrorLevel.THROW });
  };

  test("has every published post once, with its translations", async () => {
    const { posts } = await graphql(
      "{ posts(first: 100, filter: { kind: [ARTICLE], language: \"zh\" }) { nodes { slug language translations { slug language } } } }");
    const entries = await crawl();
    const addresses = entries.map(({ url }) => url);
    assert.equal(new Set(addresses).size, addresses.length, "none twice");
    const address = ({ slug }) => `${origin}/posts/${slug}`;
    for (const post of posts.nodes) {
      const entry = entries.find(({ url }) => url === address(post));
      assert.ok(entry, `${post.slug} is there`);
      assert.ok(Date.parse(entry.lastmod) <= Date.now(), "a date that has been");
      const expected = post.translations.length === 0 ? [] : [post, ...post.translations];
      assert.deepEqual(
        entry.links.map(({ lang, url }) => `${lang} ${url}`).sort(),
        expected.map((each) => `${each.language} ${address(each)}`).sort(),
      );
    }
  });

  test("has no draft, and a post as soon as it is published", async () => {
    const title = unique("A draft");
    const token = await ownerToken();
    const { post } = await mutate("createPost", "CreatePostInput", "post { id slug }", { title, markdown: "Soon." }, token);
    const has = async () => (await crawl()).some(({ url }) => url === `${origin}/posts/${post.slug}`);
    assert.equal(await has(), false);
    await mutate("publishPost", "PostIdInput", "post { id }", { id: post.id }, token);
    assert.equal(await has(), true);
  });

  test("is named in robots.txt", async () => {
    const text = await (await fetch(`${origin}/robots.txt`)).text();
    assert.match(text, new RegExp(`^Sitemap: ${origin}/sitemap.xml$`, "m"));
    assert.match(text, /^User-agent: \*$/im);
  });
});
