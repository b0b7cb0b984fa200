"""A joint training from aligned tables to a model that is tested: what each party does, phase by phase, over channels.

plan      what the active party tells a passive before anything else
table     a party's columns as the matrix that an algorithm sees
work      what a party is given to run with: checkpoints, withdrawn rows, progress
active, passive   the phases: prepare, train, score
leaks     what each party learns, in words, for the run at hand
estimate  what a run will cost, before it begins
"""
