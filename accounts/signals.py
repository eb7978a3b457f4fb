"""What rooms above must hear of people.

`member_left` is sent inside the writing transaction, in the account's context, after a member was
deactivated. Arguments: `member`, `by` (Member or None).
"""

from django.dispatch import Signal

member_left = Signal()
