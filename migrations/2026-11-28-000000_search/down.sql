DROP TABLE post_vectors;
DROP TABLE chunk_vectors;
DROP TABLE chunks;
DROP TABLE post_words;
