from django.db import migrations, models


class Migration(migrations.Migration):
    """One schedule more; the column stays as it is."""

    dependencies = [("conversations", "0023_endpoint_follows")]

    operations = [
        migrations.AlterField(
            model_name="delivery",
            name="schedule",
            field=models.CharField(
                choices=[
                    ("live", "live"),
                    ("notice", "notice"),
                    ("send", "send"),
                    ("durable", "durable"),
                    ("once", "once"),
                ],
                max_length=8,
            ),
        ),
    ]
