"""The commands of this package, one module each: its options, one call into a library function, and its printing."""
