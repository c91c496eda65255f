"""An estimate as files: tables, a plot, the methods paragraph, and the replication package."""
