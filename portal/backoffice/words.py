"""What permissions are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from portal.permissions import Action, Subject
from portal.text import Text

ACTIONS: Final[Mapping[Action, Text]] = {
    Action.QUERY: Text("see"),
    Action.ENTRY: Text("enter"),
    Action.REVIEW: Text("review"),
    Action.APPROVE: Text("decide"),
    Action.EXPORT: Text("export"),
    Action.MODIFY: Text("change"),
}
SUBJECTS: Final[Mapping[Subject, Text]] = {
    Subject.OWN_ACCOUNT: Text("One's own account"),
    Subject.OWN_REGISTRATION: Text("One's own registration"),
    Subject.REGISTRATION: Text("Registrations"),
    Subject.OPERATOR_KEY: Text("Operator key"),
    Subject.OWN_CONSENTS: Text("One's own consents"),
    Subject.OWN_USES: Text("Uses of one's own data"),
    Subject.OWN_FACTS: Text("Facts about the enterprise"),
    Subject.STAFF: Text("Users"),
    Subject.EVENTS: Text("Record of acts"),
    Subject.PRODUCTS: Text("Loan products"),
    Subject.OWN_APPLICATIONS: Text("One's own applications"),
    Subject.APPLICATIONS: Text("Applications"),
    Subject.FINANCING: Text("Financing requests"),
    Subject.OWN_CREDIT: Text("One's own loans"),
    Subject.CREDIT: Text("Loans"),
    Subject.CONTENT: Text("News and guides"),
    Subject.QUESTIONS: Text("Questions and answers"),
    Subject.SEAT: Text("One's own seat"),
    Subject.STATISTICS: Text("Statistics"),
    Subject.ALERTS: Text("Risk alerts"),
    Subject.INSTITUTIONS: Text("Institutions"),
    Subject.ROLES: Text("Roles and menus"),
    Subject.OPERATIONS: Text("Operations"),
}
