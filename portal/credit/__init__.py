"""Credit after the grant: contract, drawdowns, repayments, overdue amounts, classes, the end; and the ledger of it all (授信台账).

`line` computes, `service` is what a bank's staff does, `deciding` what its approver does, `clock` what time does; `ledger` lists,
`export` writes the ledger out, `own` is the enterprise's view. States are `portal.states.APPLICATION`.
"""
