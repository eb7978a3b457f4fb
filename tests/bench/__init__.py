"""`make bench`: our figures, with the floor of the same run beside them (not collected by pytest)."""
