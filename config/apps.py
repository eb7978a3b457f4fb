"""The house as a Django app: system checks, commands, and the Celery application."""

from django.apps import AppConfig


class HouseConfig(AppConfig):
    name = "config"
    label = "config"

    def ready(self) -> None:
        from django.conf import settings

        from config import catalogues, celery, checks

        # Here, because every way to start (make run, a role in a container, a test) comes through here.
        catalogues.refresh(settings.LOCALE_PATHS)
        celery.app.set_default()
        checks.register_all()
