"""What each owner does to its own columns before a joint model sees them, and the binning, WOE and IV of both sides."""
