"""Due lanes by account, so that a claim jumps from account to account (DL-91)."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0003_delivery_answered_at")]

    operations = [
        migrations.RemoveIndex(model_name="lane", name="lane_due"),
        migrations.AddIndex(
            model_name="lane",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)),
                fields=["kind", "account", "due_at"],
                name="lane_due",
            ),
        ),
    ]
