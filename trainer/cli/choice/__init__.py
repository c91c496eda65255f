"""Commands that compare models, promote one to champion, and report on one."""
