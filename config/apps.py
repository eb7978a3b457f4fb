"""The house as a Django app: system checks, commands, and the Celery application."""

from django.apps import AppConfig


class HouseConfig(AppConfig):
    name = "config"
    label = "config"

    def ready(self) -> None:
        from config import celery, checks

        celery.app.set_default()
        checks.register_all()
