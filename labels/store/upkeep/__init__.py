"""Care of a store: backups, names of annotators, and warnings about its place."""
