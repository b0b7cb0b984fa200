"""The uses a node takes part in: one module per side of each mode, over one encrypted session.

session   the end-to-end encrypted conversation of two nodes through the relay, surviving lost connections
frames    what the two nodes say to each other
terms     what an exchange was opened for, and the checks before a node takes part
query     one subject at a time, milliseconds
raw_provider, raw_requester, journal   all consented subjects of a product, to Parquet, resumable
"""
