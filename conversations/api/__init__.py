"""REST of the desk: conversations and their acts, messages, contacts, labels, events, deliveries."""
