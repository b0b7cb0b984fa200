"""A party of a protocol beside its agent: a process that computes and nothing else, its channels through an exchange.

process   the process, as its agent sees it
inside    the same process, from inside
link      an exchange's session as channels for it
tunnel    two providers of one job, through the bank
"""
