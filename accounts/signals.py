"""What rooms above must hear of people. Both are sent inside the writing transaction, in the
account's context.

`account_created`: the rooms above furnish a new account. Arguments: `account`, `owner` (Member).
`member_left`: a member was deactivated. Arguments: `member`, `by` (Member or None).
"""

from django.dispatch import Signal

account_created = Signal()
member_left = Signal()
