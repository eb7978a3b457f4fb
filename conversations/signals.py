"""The one door upwards.

`event_recorded` is sent inside the writing transaction, so that event, decision and delivery rows
commit together or not at all (DL-02). Arguments: `event` (Event), `conversation` (locked), `message`
(Message or None).
"""

from django.dispatch import Signal

event_recorded = Signal()
