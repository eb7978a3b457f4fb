"""The lines of the failure table, a module for each kind of fault."""
