from django.apps import AppConfig


class SubscribersConfig(AppConfig):
    """Before `agents` in INSTALLED_APPS: what an event makes rules do are events too, and subscribers
    must hear of the cause first (DL-21)."""

    name = "integrations.subscribers"

    def ready(self) -> None:
        from conversations.signals import event_recorded
        from integrations.subscribers import telling

        event_recorded.connect(telling.on_events, dispatch_uid="integrations.subscribers")
