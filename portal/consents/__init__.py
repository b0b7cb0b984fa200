"""My data: an enterprise's consents, their withdrawal, and the record of use, verified."""
