"""The courier: one asyncio component that runs the lanes and fires the timers (performance.md).

It claims lanes over all accounts (leases in PostgreSQL, so any number of couriers may run), carries
HTTP lanes on the event loop and inbound lanes on threads, and writes every result behind a fencing
guard. It lives in every Celery worker (`bootstep`) or alone (`manage.py courier`).
"""
