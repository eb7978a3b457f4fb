"""Their platform API: bots that a program of the installation makes, in an account or for all of them."""
