"""Comparing sets between nodes (set intersection, protocols.md 4b): how many enterprises of a list a provider's item has, or which.

It stands on no consent, so it is the exception: no node takes part unless a rule of its operator names the member, the product, what
may be learned, the legal basis and how often a day; every run is a receipt, and every enterprise that turns out to be common is named
in one with that legal basis, by the provider before the other side learns of it.

codes      lists of enterprises: read, written, handed to a party's process
messages   what two agents say to each other in a comparison
record     what both nodes record about it
folders    where it all lies, and what is deleted when
store      what the node's database keeps of comparisons, own and others'
provider   taking part in another member's
runs, run  asking for one; one of them, with all its providers
task, worker   the process of a party (`nodes.party`): what it is to do, and doing it
outcome    what the user gets
"""
