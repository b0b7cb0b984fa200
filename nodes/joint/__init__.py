"""Joint modelling between nodes: a bank's job, its parties as processes of their agents, their channels through the relay.

job_file    the YAML file that a bank writes
cohort      the rows of a job, from consents alone: tokens, the provider's decision, the commitment of both receipts
own_table   a party's columns in the order of the cohort
messages    what two agents say to each other beside what their parties say
task, worker   the process of a party (`nodes.party`): what it is to do, and doing it
job_store   what the node's database keeps of jobs, its own and others'
jobs        the bank's jobs: opened, trained, resumed, finished
bank_cohort, bank_table, job_run   one of them: its rows, its own data, its attempts
provider_plan, provider   another member's job: what is decided about it once, and taking part
job_told    what the bank's user is told before and after
job_report  the two files that a bank gets
model_files a party's part of a model, and the job's report
"""
