"""How results look on a terminal: tables and lines that `cli` prints. No work is done here."""
