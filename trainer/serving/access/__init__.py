"""Who may call the server, and how much one request may send."""
