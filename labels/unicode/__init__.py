"""Handle characters: their encoding in files, their typographic variants, and their display on screens."""
