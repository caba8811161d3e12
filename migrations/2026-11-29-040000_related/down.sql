DROP TABLE post_related;
