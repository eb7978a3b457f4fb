"""The index of what is open in a conversation cannot be taken for that of lanes' heads any more."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

OPEN = ("pending", "in_flight", "retry_wait", "uncertain", "held")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("conversations", "0011_replay_lanes"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("conversation__isnull", False), ("state__in", OPEN)),
                fields=["conversation"],
                name="delivery_waiting",
            ),
        ),
        RemoveIndexConcurrently(model_name="delivery", name="delivery_open"),
    ]
