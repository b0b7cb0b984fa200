"""A portal beside the demonstration's network: accounts for every role, and some months of a market that never was.

site          makes the portal, fills it, runs it, and prints how to get in
people        who works at the hub and at the two banks
firms         the demonstration's enterprises register, and are let in
products      what the banks offer, entered by one and decided on by another
lives         applications and financing requests of the past months, each by the portal's own services
today         applications of this hour, under consents that stand in the log and with queries that the node answered

Everything goes through the functions that pages call; only the clock is ours, and it runs from the past to now, never back.
"""
