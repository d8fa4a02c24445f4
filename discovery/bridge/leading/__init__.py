"""Which of several bridges writes, and what becomes of the entries when none does."""
