"""The report of a job: a document for programs, a page for people."""
