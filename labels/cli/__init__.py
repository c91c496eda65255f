"""The commands of this package, each with its options, one call into a library function, and its printing."""
