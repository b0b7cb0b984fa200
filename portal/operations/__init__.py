"""Operations: how members' nodes and their exchanges are, live, and what an operator has to look at.

Everything is the hub's own knowledge, asked at the moment (`portal.hub_link.Operations`); nothing is kept here. `figures` and `alarms`
are pure, `listings` says what can be filtered and sorted by, `service` asks the hub. A member's administrator sees its own nodes and
exchanges, the system administrator all.
"""
