"""Read labelled files as a whole: select the rows that count, and read their label cells together."""
