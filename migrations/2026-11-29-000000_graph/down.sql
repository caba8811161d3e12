DROP TABLE graph_posts;
DROP TABLE post_links;
DROP TABLE post_entities;
DROP TABLE entity_names;
DROP TABLE entities;
