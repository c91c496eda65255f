"""The characters of texts: their encoding in files, their typing variants, and their display on screens."""
