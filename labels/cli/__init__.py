"""The commands of this package: options, one call into a library function, and printing, in a module for each or for a few."""
