"""A language model as one more coder: its prompt, the endpoint, coding, and how good its answers are."""
