"""Parse the content of a file that is not a table: metadata and plain text, or the articles of a news archive."""
