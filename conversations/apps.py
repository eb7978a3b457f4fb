from django.apps import AppConfig


class ConversationsConfig(AppConfig):
    name = "conversations"

    def ready(self) -> None:
        from conversations import timers
        from conversations.models import Timer
        from conversations.services.holding import snooze_is_over
        from conversations.services.sending import reconcile

        timers.register(Timer.Kind.SNOOZE, snooze_is_over)
        timers.register(Timer.Kind.RECONCILE, reconcile)
