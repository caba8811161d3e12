// What tools make of the schema: graphql-js, which code generators, linters and editors are built on.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";

import { buildClientSchema, buildSchema, getIntrospectionQuery, lexicographicSortSchema, printSchema, validateSchema } from "graphql";

import { graphql } from "./support/server.js";

const file = buildSchema(readFileSync(new URL("../../schema.graphql", import.meta.url), "utf8"));

/** The schema by introspection, as tools ask for it. */
const introspect = async (options) => buildClientSchema(await graphql(getIntrospectionQuery(options)));

test("schema.graphql is a schema by the specification's rules", () => {
  assert.deepEqual(validateSchema(file), []);
});

const definitions = (schema) => printSchema(lexicographicSortSchema(schema)).split(/\n\n(?=\S)/);

suite("introspection", () => {
  test("gives schema.graphql, and back", async () => {
    const schema = await introspect({ inputValueDeprecation: true, oneOf: true, directiveIsRepeatable: true });
    const [told, written] = [definitions(schema), definitions(file)];
    assert.deepEqual(told.filter((definition) => !written.includes(definition)), [], "in introspection only");
    assert.deepEqual(written.filter((definition) => !told.includes(definition)), [], "in schema.graphql only");
  });

  test("answers all that tools ask", async () => {
    const everything = { specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true, inputValueDeprecation: true, oneOf: true };
    const schema = await introspect(everything);
    assert.deepEqual(validateSchema(schema), []);
    assert.match(schema.getType("DateTime").specifiedByURL ?? "", /rfc3339/);
  });

  test("describes everything that a front end can use", async () => {
    const undescribed = [];
    for (const [name, type] of Object.entries((await introspect()).getTypeMap())) {
      if (name.startsWith("__")) continue;
      if (!type.description && !/(Connection|Edge)$/.test(name)) undescribed.push(name);
      const members = [...Object.values(type.getFields?.() ?? {}), ...(type.getValues?.() ?? [])];
      for (const member of members) if (!member.description) undescribed.push(`${name}.${member.name}`);
    }
    assert.deepEqual(undescribed, []);
  });
});

suite("Relay's specifications", () => {
  const types = Object.values(file.getTypeMap());

  test("every connection is one, and has its arguments", () => {
    const connections = types.filter(({ name }) => name.endsWith("Connection"));
    assert.ok(connections.length > 0);
    for (const { name } of connections) {
      const fields = file.getType(name).getFields();
      assert.equal(`${fields.pageInfo.type}`, "PageInfo!", name);
      const edge = name.replace(/Connection$/, "Edge");
      assert.match(`${fields.edges.type}`, new RegExp(`^\\[${edge}!?\\]!?$`), name);
      assert.equal(`${file.getType(edge).getFields().cursor.type}`, "String!", edge);
      assert.ok(file.getType(edge).getFields().node, edge);
    }
    for (const type of types) {
      for (const field of Object.values(type.getFields?.() ?? {})) {
        if (!/Connection!?$/.test(`${field.type}`)) continue;
        const given = Object.fromEntries(field.args.map((argument) => [argument.name, `${argument.type}`]));
        const { first, after, last, before } = given;
        assert.deepEqual({ first, after, last, before }, { first: "Int", after: "String", last: "Int", before: "String" }, `${type.name}.${field.name}`);
      }
    }
  });

  test("every object with an id is a Node", () => {
    const node = file.getType("Node");
    for (const type of types) {
      if (type.name.startsWith("__") || !type.getInterfaces || type === node) continue;
      if (`${type.getFields().id?.type}` === "ID!") assert.ok(type.getInterfaces().includes(node), type.name);
    }
  });
});
