from django.apps import AppConfig


class ConversationsConfig(AppConfig):
    name = "conversations"

    def ready(self) -> None:
        from accounts.signals import member_left
        from conversations import timers
        from conversations.models import Timer
        from conversations.services.holding import snooze_is_over
        from conversations.services.leaving import release_all
        from conversations.services.sending import reconcile

        member_left.connect(release_all, dispatch_uid="conversations.leaving")
        timers.register(Timer.Kind.SNOOZE, snooze_is_over)
        timers.register(Timer.Kind.RECONCILE, reconcile)
