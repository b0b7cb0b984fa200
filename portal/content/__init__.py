"""Content: knowledge, policies, questions and answers, announcements; entered by editors, published by reviewers, searchable."""
