"""Write outputs: tables and texts that other programs read back unchanged, and folders that replace earlier outputs."""
