"""Their API on our address: thin views by noun. Each reads, calls one service, and answers in their
shape (`integrations.chatwoot.shapes`)."""
