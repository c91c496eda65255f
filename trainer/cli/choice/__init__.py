"""Commands that compare models: the leaderboard, paired differences, the champion, and reports."""
