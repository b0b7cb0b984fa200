"""Programs that use the JSON API for an account, each with an SM2 key of its own."""
