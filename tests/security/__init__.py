"""Who may run code where, and who may not: one test per attack."""
