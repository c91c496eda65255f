"""Parse files that are not tables into metadata and plain text, or into the articles of a news archive."""
