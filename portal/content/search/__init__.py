"""Full-text search in Chinese and English over what is published, the same on SQLite and PostgreSQL (docs/adr/0009)."""
