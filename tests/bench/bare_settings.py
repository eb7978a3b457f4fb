"""The product's settings, and the address of the bare view."""

from config.settings import *  # noqa: F403 - all of them

ROOT_URLCONF = "tests.bench.bare"
